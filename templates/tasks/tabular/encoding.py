"""A table as tensors: standardized numbers, numbered categories and a target."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch
from torch import Tensor

from .cells import Form, Profile, Reading, expect_commas, read_numbers, to_numbers
from .classes import count_classes
from .columns import (
    Columns,
    Request,
    Survey,
    Target,
    as_texts,
    check_columns,
    check_marks,
    choose_columns,
    choose_target,
    drop_unlabelled,
    number_texts,
    sort_labels,
    survey,
)
from .errors import UserError
from .leaks import tells
from .splits import describe_absent, divide, split_indices
from .tables import Table, find_tables, open_table

if TYPE_CHECKING:  # slow to import
    from pandas import DataFrame, Series

OUTLIER = 5  # standard deviations at which numbers are cut off
OTHERS = {1: "validation", 2: "test"}  # splits beside the training split, which is number 0
ROUNDING = 1e-9  # a deviation below this share of the largest number is none


class Rows(NamedTuple):
    """Rows of a split as tensors."""

    numbers: Tensor  # float32 (rows, numbers)
    categories: Tensor  # int32 (rows, categories)
    targets: Tensor  # float64 or int64 (rows,)
    keys: Tensor  # int64 (rows,)


class Encoded(NamedTuple):
    """The splits of a table, and what `info` tells about its columns."""

    train: Rows
    val: Rows
    test: Rows
    info: dict[str, Any]


class FrameTable(Table):
    """A table that is in memory already, with any types of pandas."""

    def __init__(self, frame: DataFrame, name: str):
        self.path = Path(name)
        self.columns = list(frame.columns)
        self.length = len(frame)
        self.notes = []
        self.frame = as_cells(frame)

    def parts(self) -> Iterator[DataFrame]:
        """Yield all rows."""
        yield self.frame


def as_cells(frame: DataFrame) -> DataFrame:
    """Return a table whose columns are float64, or texts with "" for a missing one."""
    import pandas

    columns = {}
    for name, cells in frame.items():
        if cells.dtype.kind in "iuf":
            columns[name] = cells.to_numpy(dtype=float, na_value=math.nan)
        else:
            columns[name] = cells.astype(object).where(cells.notna(), "").astype(str).to_numpy()
    return pandas.DataFrame(columns, index=frame.index)


def read_splits(data_dir: Path, request: Request) -> Encoded:
    """Return the training, validation and test split of own tables; see `encode`."""
    files, notes = find_tables(data_dir)
    tables = {}
    for split, paths in files.items():
        tables[split] = [open_table(path) for path in paths]
        for table in tables[split]:
            notes += table.notes
    if not request.target:
        found = ", ".join(next(iter(tables.values()))[0].columns)
        raise UserError(f"--target is missing: name the column to predict, one of {found}")
    return encode(tables, request, notes)


def split_columns(columns: dict[str, Any], name: str, request: Request) -> Encoded:
    """Return splits 3:1:1 of columns, lists or arrays, the same for every --seed; see `encode`."""
    import pandas

    frame = pandas.DataFrame(columns)
    parts = split_indices(len(frame), val=0.2, test=0.2)
    tables: dict[str, list[Table]] = {}
    for split, indices in zip(("train", "val", "test"), parts, strict=True):
        tables[split] = [FrameTable(frame.iloc[indices.numpy()], name)]
    return encode(tables, request, [])


def encode(tables: dict[str, list[Table]], request: Request, notes: list[str]) -> Encoded:
    """Return the training, validation and test split, encoded by what training tells.

    `tables` are those of "train", "val" and "test", of which one of the last two may be missing, or
    those of "all", which is divided 3:1:1 by a hash of each row, or of its group. They are read
    twice: to find out about the columns, and to encode them. The training split, or all rows if
    that is not known yet, decides what a column holds.

    A split has numbers, float32 (rows, numbers); categories, int32 (rows, categories), counted from
    1, and 0 for one that the training split does not have; and targets: float32 (rows,), or classes
    int64 (rows,). Numbers are standardized by their mean and deviation in the training split, and
    cut off at 5 deviations; the median stands for a missing one, and a further number marks it.
    """
    deciding = "all" if "all" in tables else "train"
    names = tables[deciding][0].columns
    for split_tables in tables.values():
        for table in split_tables:
            check_columns(table, names, request)
    profiles = {name: Profile(name) for name in names}
    profiles[request.target].remedy = "add --target-kind class"
    surveys = {}
    for split, split_tables in tables.items():
        own = profiles if split == deciding else {}
        surveys[split] = survey(split_tables, names, request, own)
    if all(table.separator == ";" for table in tables[deciding]):
        expect_commas(profiles.values())
    columns = choose_columns(profiles, request)
    target = choose_target(profiles[request.target], surveys[deciding], request)
    check_marks(profiles, columns, target)
    encoder = Encoder(columns, target)
    for split, split_tables in tables.items():
        places = assign(split, surveys[split], target, set(tables))
        encoder.add(split_tables, surveys.pop(split), places)  # which frees its memory
    notes += columns.notes + target.notes
    return encoder.finish(notes)


def assign(split: str, found: Survey, target: Target, given: set[str]) -> Tensor:
    """Return the split of each row, 0, 1 or 2 for train, val and test: (rows,)."""
    number = ("train", "val", "test", "all").index(split)
    places = torch.full((len(found.keys),), number, dtype=torch.int8)
    shares = {"all": (0.2, 0.2), "train": (0.0 if "val" in given else 0.1, 0.0)}
    if shares.get(split, (0.0, 0.0)) != (0.0, 0.0):
        strata = found.targets if target.classes else None
        parts = divide(found.groups, *shares[split], strata)
        for number, chosen in enumerate(parts):
            places[chosen] = number
        if len(parts[1]) == 0 or (split == "all" and len(parts[2]) == 0):
            raise UserError(
                f"{found.path}: {len(places):,} rows cannot be split: three different rows are "
                "needed, or rows of three groups, and of classes three rows of one of them"
            )
    return places


class Encoder:
    """Fills the splits from the tables, part by part.

    Until all rows are known, a number is its distance from the mean of the column's first part, in
    units of the largest distance there: so float32 is as exact as a standardized number needs, and
    takes half of the memory of float64. Categories are numbered as they come.
    """

    def __init__(self, columns: Columns, target: Target):
        self.columns = columns
        self.target = target
        self.splits: dict[int, Rows] = {}
        self.scales: dict[str, tuple[float, float]] = {}  # offset and unit of each column
        self.levels: dict[str, dict[str, int]] = {name: {} for name in columns.categories}

    def add(self, tables: list[Table], found: Survey, places: Tensor) -> None:
        """Add the rows of tables to the splits that `places` says: (rows,)."""
        filled = [0, 0, 0]
        for number in range(3):
            rows = int((places == number).sum())
            if rows:
                self.splits[number] = self.new_rows(rows)
        start = 0
        for table in tables:
            for part in table.parts():
                part = drop_unlabelled(part, self.target.name)
                end = start + len(part)
                encoded = self.encode(table.path, part, found.keys[start:end])
                for number in self.splits:
                    chosen = places[start:end] == number
                    first = filled[number]
                    filled[number] += int(chosen.sum())
                    for tensor, new in zip(self.splits[number], encoded, strict=True):
                        tensor[first : filled[number]] = new[chosen]
                start = end

    def new_rows(self, rows: int) -> Rows:
        """Return memory for the rows of a split."""
        kind = torch.int64 if self.target.classes else torch.float64
        return Rows(
            torch.empty(rows, len(self.columns.readings)),
            torch.empty(rows, len(self.levels), dtype=torch.int32),
            torch.empty(rows, dtype=kind),
            torch.empty(rows, dtype=torch.int64),
        )

    def encode(self, path: Path, part: DataFrame, keys: Tensor) -> Rows:
        """Return the rows of a part."""
        numbers = torch.empty(len(part), len(self.columns.readings))
        for column, (name, reading) in enumerate(self.columns.readings.items()):
            values = torch.from_numpy(to_numbers(path, name, part[name], reading))
            finite = values[values.isfinite()]
            if name not in self.scales and len(finite):
                offset = float((finite / len(finite)).sum())  # which does not overflow
                self.scales[name] = (offset, float((finite - offset).abs().max()) or 1.0)
            offset, unit = self.scales.get(name, (0.0, 1.0))
            numbers[:, column] = (values - offset) / unit
        categories = torch.empty(len(part), len(self.levels), dtype=torch.int32)
        for column, (name, levels) in enumerate(self.levels.items()):
            categories[:, column] = number_texts(as_texts(part[name]), levels)
        return Rows(numbers, categories, self.target.encode(path, part[self.target.name]), keys)

    def finish(self, notes: list[str]) -> Encoded:
        """Return the splits, standardized by the training split."""
        for number, name in enumerate(("training", "validation", "test")):
            if number in self.splits and len(self.splits[number].keys) < 2:
                raise UserError(f"too few rows for the {name} split: each needs two")
        leaks = self.describe_leaks()
        info: dict[str, Any] = {"target": self.target.name}
        info |= self.scale_numbers() | self.sort_categories() | self.scale_target()
        info["notes"] = notes + leaks + self.describe_copies() + self.describe_unknown()
        train, val = self.splits[0], self.splits.get(1) or self.splits[2]
        test = self.splits.get(2, val)
        splits = {"train": train, "val": val, "test": test}
        if self.target.classes:
            info["class_counts"] = {}
            for name, rows in splits.items():
                info["class_counts"][name] = count_classes(rows.targets, self.target.classes)
            info["notes"] += describe_absent(info["class_counts"])
        return Encoded(train, val, test, info)

    def describe_leaks(self) -> list[str]:
        """Return a note about columns that alone tell the target, if there are any."""
        train = self.splits[0]
        names = []
        for column, name in enumerate(self.columns.readings):
            if tells(train.numbers[:, column], train.targets):
                names.append(name)
        for column, name in enumerate(self.levels):
            if tells(train.categories[:, column], train.targets):
                names.append(name)
        if not names:
            return []
        remedy = ",".join(f"{name}=drop" for name in names)
        return [
            f"alone tells {self.target.name}: {', '.join(names)}; results are too good if that is "
            f"not known beforehand: --columns {remedy}"
        ]

    def describe_copies(self) -> list[str]:
        """Return notes about rows that are in the training split, and in another one."""
        notes = []
        known = numpy.sort(self.splits[0].keys.numpy())
        for number, name in OTHERS.items():
            if number in self.splits:
                keys = self.splits[number].keys.numpy()
                places = numpy.searchsorted(known, keys).clip(max=len(known) - 1)
                copies = int((known[places] == keys).sum())  # with less memory than torch.isin
                if copies:
                    notes.append(
                        f"{copies:,} rows of the {name} split are in the training split, too"
                    )
        return notes

    def describe_unknown(self) -> list[str]:
        """Return notes about categories that the training split does not have."""
        notes = []
        for number, name in OTHERS.items():
            if number in self.splits:
                unknown = (self.splits[number].categories == 0).sum(dim=0).tolist()
                parts = []
                for column, count in zip(self.levels, unknown, strict=True):
                    if count:
                        parts.append(f"{column} {count:,}")
                if parts:
                    notes.append(f"unknown categories in the {name} split: {', '.join(parts)}")
        return notes

    def scale_numbers(self) -> dict[str, Any]:
        """Standardize the numbers of all splits in place; return what `info` tells about them."""
        scales = {}
        medians = {}
        marked = self.splits[0].numbers.isnan().any(dim=0)  # (numbers,)
        marks = {number: rows.numbers[:, marked].isnan() for number, rows in self.splits.items()}
        for column, name in enumerate(self.columns.readings):
            offset, unit = self.scales.get(name, (0.0, 1.0))
            mean, deviation, median = get_moments(self.splits[0].numbers[:, column], offset, unit)
            for rows in self.splits.values():
                values = rows.numbers[:, column].double().nan_to_num_(median, math.inf, -math.inf)
                values.sub_(mean).div_(deviation).clamp_(-OUTLIER, OUTLIER)
                rows.numbers[:, column] = values
            scales[name] = [offset + unit * mean, unit * deviation]
            medians[name] = offset + unit * median
        for number, rows in self.splits.items():
            if marked.any():
                numbers = torch.cat((rows.numbers, marks[number].float()), dim=1)
                self.splits[number] = rows._replace(numbers=numbers)
        names = [name for name, mark in zip(scales, marked.tolist(), strict=True) if mark]
        readings = {name: flatten(reading) for name, reading in self.columns.readings.items()}
        return {"numbers": scales, "medians": medians, "marked": names, "readings": readings}

    def sort_categories(self) -> dict[str, Any]:
        """Number the categories of the training split by their names, from 1 on, and others 0."""
        categories = {}
        for column, (name, levels) in enumerate(self.levels.items()):
            texts = list(levels)
            used = self.splits[0].categories[:, column].unique().tolist()
            known = sort_labels({texts[number] for number in used})
            numbers = {text: number for number, text in enumerate(known, start=1)}
            lookup = torch.tensor([numbers.get(text, 0) for text in texts], dtype=torch.int32)
            for rows in self.splits.values():
                rows.categories[:, column] = lookup[rows.categories[:, column]]
            categories[name] = known
        return {"categories": categories}

    def scale_target(self) -> dict[str, Any]:
        """Standardize a target that is a number; return what `info` tells about the target."""
        if self.target.reading is None:
            return {"classes": self.target.classes}
        values = self.splits[0].targets
        mean, deviation, _ = get_moments(values, 0.0, 1.0)
        if bool((values.max() - values.min()).abs() <= ROUNDING * values.abs().max()):
            raise UserError(
                f"{self.target.name} is {float(values[0])} in all rows of the training split: "
                "there is nothing to learn"
            )
        for number, rows in self.splits.items():
            targets = ((rows.targets - mean) / deviation).float()
            self.splits[number] = rows._replace(targets=targets)
        reading = flatten(self.target.reading)
        return {"mean": mean, "deviation": deviation, "target_reading": reading}


def encode_rows(frame: DataFrame, info: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return new rows as inputs of a model: numbers (rows, numbers), categories (rows, categories).

    `info` is that of the model's training data, and names the columns. Raises UserError if a cell
    is not of the form that it had there.
    """
    frame = as_cells(frame)
    numbers = torch.zeros(len(frame), len(info["numbers"]) + len(info["marked"]))
    for column, (name, (mean, deviation)) in enumerate(info["numbers"].items()):
        reading = unflatten(info["readings"][name])
        values = torch.from_numpy(to_numbers(Path("rows"), name, frame[name], reading))
        if name in info["marked"]:
            mark = len(info["numbers"]) + info["marked"].index(name)
            numbers[:, mark] = values.isnan()
        values = values.nan_to_num(info["medians"][name], math.inf, -math.inf)
        numbers[:, column] = ((values - mean) / deviation).clamp(-OUTLIER, OUTLIER)
    categories = torch.zeros(len(frame), len(info["categories"]), dtype=torch.int32)
    for column, (name, known) in enumerate(info["categories"].items()):
        categories[:, column] = number_known(frame[name], known) + 1
    return numbers, categories


def number_known(cells: Series, known: list[str]) -> Tensor:
    """Return the place of each cell among known texts, or -1 if it is none: int32 (cells,).

    1.0 is also 1: programs write whole numbers so if other cells of the column are missing.
    """
    numbers = {text: number for number, text in enumerate(known)}
    for text in known:
        if text.removeprefix("-").isdecimal():
            numbers.setdefault(f"{text}.0", numbers[text])
    found = number_texts(as_texts(cells), numbers)
    return found.where(found < len(known), -1)


def encode_targets(cells: Series, info: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the targets of new rows as in `encode`, and which of them are known: (rows,) both.

    One that is missing, of another form, or a class that the training does not have is unknown.
    """
    if "classes" in info:
        labels = number_known(cells, info["classes"]).long()
        return labels, labels >= 0
    values, _ = read_numbers(cells, unflatten(info["target_reading"]))
    targets = (torch.from_numpy(values) - info["mean"]) / info["deviation"]
    return targets.float(), targets.isfinite()


def get_moments(values: Tensor, offset: float, unit: float) -> tuple[float, float, float]:
    """Return the mean, the deviation and the median of the finite values.

    The values stand for `offset + unit * value`. A deviation that is rounding alone gives 1 there.
    """
    finite = values[values.isfinite()]
    if len(finite) == 0:
        return 0.0, 1.0, 0.0
    median = float(numpy.median(finite.numpy()))
    low, high = float(finite.min()), float(finite.max())
    largest = max(abs(low), abs(high)) or 1.0
    shares = finite.double().div_(largest)  # so that squares do not overflow
    mean = float(shares.mean()) * largest
    deviation = float(shares.std(correction=0)) * largest
    if unit * deviation <= ROUNDING * max(abs(offset + unit * low), abs(offset + unit * high)):
        deviation = 1 / unit
    return mean, deviation, median


def flatten(reading: Reading) -> list[str]:
    """Return a reading as plain values, for `info`."""
    return [*reading.form, reading.decimal]


def unflatten(values: list[str]) -> Reading:
    """Return the reading that `flatten` has made plain values of."""
    *form, decimal = values
    return Reading(Form(*form), decimal)
