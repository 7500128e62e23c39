"""What the columns of a table hold: numbers, categories, and a target of one or the other kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch
from torch import Tensor

from .cells import Profile, Reading, ambiguous, find_reading, is_missing, to_numbers
from .errors import UserError
from .tables import Table

if TYPE_CHECKING:  # slow to import
    from pandas import DataFrame, Series

FEW = 10  # different whole numbers that are classes
MAX_CLASSES = 1000
DIFFERENT = 20  # so many texts that are all different name the rows
ROW_NUMBER = re.compile(r".*id|index|rows?|row.?names?|no\.?|nr\.?|#|unnamed: \d+|column 1")


@dataclass
class Request:
    """What the options say about the columns."""

    target: str
    target_kind: str = "auto"  # or "number", "class"
    kinds: dict[str, str] = field(default_factory=dict)  # "number", "category" or "drop", by name
    group: str | None = None


def parse_kinds(text: str) -> dict[str, str]:
    """Return the kinds in "name=number,other name=drop". Raises UserError if it is another text.

    A name may hold a comma or an equals sign.
    """
    kinds = {}
    rest = text
    while rest:
        match = re.match(r"(.+?)=(number|category|drop)(?:,|$)", rest)
        if not match:
            raise UserError(
                f"--columns {text}: write NAME=number, NAME=category or NAME=drop, with commas "
                f"between them; {rest!r} is not"
            )
        kinds[match[1].strip()] = match[2]
        rest = rest[match.end() :]
    return kinds


def check_columns(table: Table, names: list[str], request: Request) -> None:
    """Raise UserError if a table lacks a column that the options or the training split name."""
    if request.target in request.kinds:
        raise UserError(f"--columns {request.target}: it is the target, see --target-kind")
    asked = [request.target, *request.kinds] + ([request.group] if request.group else [])
    for name in [*asked, *names]:
        if name not in table.columns:
            found = ", ".join(table.columns)
            raise UserError(f"{table.path}, row 1: no column {name!r}, only {found}")


# ----------------------------------------------------------------------------- the first reading


@dataclass
class Survey:
    """What the first reading of a split tells."""

    path: Path
    keys: Tensor  # a hash of each row with a target: int64 (rows,)
    groups: Tensor  # a hash of its group, or the same: int64 (rows,)
    labels: dict[str, int]  # the numbers of the different targets; none if they are too many
    targets: Tensor  # the number of each target, if there are labels: int16 (rows,)
    without_target: int
    words: list[str]  # such as NA, in place of a target


def survey(
    tables: list[Table], names: list[str], request: Request, profiles: dict[str, Profile]
) -> Survey:
    """Read tables once, and add their cells to the profiles of the columns."""
    from pandas.util import hash_array, hash_pandas_object

    rows = sum(table.length for table in tables)
    keys = torch.empty(rows, dtype=torch.int64)
    groups = keys if request.group is None else torch.empty_like(keys)
    targets = torch.empty(rows, dtype=torch.int16)
    labels: dict[str, int] = {}
    words: set[str] = set()
    end = 0
    for table in tables:
        for part in table.parts():
            cells = part[request.target]
            if cells.dtype == object:
                words |= set(cells[are_missing(cells)].str.strip()) - {""}
            part = drop_unlabelled(part, request.target)
            start, end = end, end + len(part)
            cells = part[sorted(names)]  # keys do not depend on the order of the columns
            hashes = hash_pandas_object(cells, index=False, categorize=False)
            keys[start:end] = torch.from_numpy(hashes.to_numpy(numpy.int64, copy=True))
            if request.group is not None:
                group = as_texts(part[request.group])
                hashes = hashes.where(group == "", hash_array(group))
                groups[start:end] = torch.from_numpy(hashes.to_numpy(numpy.int64, copy=True))
            if len(labels) <= MAX_CLASSES:
                targets[start:end] = number_texts(as_texts(part[request.target]), labels)
            for name, profile in profiles.items():
                profile.add(table.path, part[name])
    if end == 0:
        raise UserError(f"{tables[0].path}: {request.target} is missing in all rows")
    if len(labels) > MAX_CLASSES:
        labels = {}
    return Survey(
        tables[0].path, keys[:end], groups[:end], labels, targets[:end], rows - end, sorted(words)
    )


def number_texts(texts: Any, numbers: dict[str, int]) -> Tensor:
    """Return the number of each text, and add new texts to `numbers`: int32 (texts,)."""
    import pandas

    codes, different = pandas.factorize(texts)
    known = [numbers.setdefault(text, len(numbers)) for text in different]
    return torch.tensor(known, dtype=torch.int32)[torch.from_numpy(codes)]


def are_missing(cells: Series) -> Any:
    """Return whether each cell is missing: bool array (cells,)."""
    import pandas

    if cells.dtype.kind in "iuf":
        return cells.isna().to_numpy()
    codes, different = pandas.factorize(cells.to_numpy(dtype=object))
    return numpy.array([is_missing(cell) for cell in different], dtype=bool)[codes]


def drop_unlabelled(part: DataFrame, target: str) -> DataFrame:
    """Return the rows that have a target."""
    return part[~are_missing(part[target])]


def as_texts(cells: Series) -> Any:
    """Return cells as texts without spaces at their ends, "" where one is missing: (cells,)."""
    import pandas

    codes, different = pandas.factorize(cells.to_numpy(), use_na_sentinel=False)
    texts = []
    for cell in different.tolist():
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)  # pandas keeps whole numbers as 1.0 where one is missing
        text = str(cell).strip()
        texts.append("" if is_missing(text) else text)
    return numpy.array(texts, dtype=object)[codes]


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Return labels in the order of their numbers, or else of their letters."""
    try:
        return sorted(labels, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(labels)


# ------------------------------------------------------------------------------ what columns hold


class Columns(NamedTuple):
    """The inputs: how numbers are read, which columns hold categories, and notes about all."""

    readings: dict[str, Reading]
    categories: list[str]
    notes: list[str]


def choose_columns(profiles: dict[str, Profile], request: Request) -> Columns:
    """Return what each column but the target holds. Raises UserError if that is not clear."""
    readings = {}
    categories = []
    dropped = []
    for name, profile in profiles.items():
        if name == request.target:
            continue
        reason = why_dropped(profile, request)
        if reason:
            dropped.append(f"{name} ({reason})")
            continue
        kind = request.kinds.get(name)
        reading = None
        if kind != "category":
            reading = find_reading(profile, forced=kind == "number")
        if reading is not None:
            readings[name] = reading
        elif kind is None and names_rows(profile):
            dropped.append(f"{name} (its texts are all different)")
        else:
            categories.append(name)
    if not readings and not categories:
        path = next(iter(profiles[request.target].places.values())).path
        raise UserError(f"{path}, row 1: there is no column beside {request.target!r}")
    numbers = []
    for name, reading in readings.items():
        numbers.append(f"{name} ({reading.unit})" if reading.unit else name)
    lists = {
        "numbers": numbers,
        "categories": categories,
        "dropped": dropped,
        "missing numbers, the median in their place": count_missing(profiles, readings),
        "missing categories, one of their own": count_missing(profiles, categories),
    }
    notes = [f"{what}: {', '.join(names)}" for what, names in lists.items() if names]
    return Columns(readings, categories, notes)


def count_missing(profiles: dict[str, Profile], names: Iterable[str]) -> list[str]:
    """Return the columns with missing cells, and their number."""
    counts = []
    for name in names:
        if profiles[name].missing:
            counts.append(f"{name} {profiles[name].missing:,}")
    return counts


def why_dropped(profile: Profile, request: Request) -> str:
    """Return why a column is no input, or an empty string."""
    if request.kinds.get(profile.name) == "drop":
        return "--columns"
    if profile.name == request.group:
        return "--group-column"
    if not profile.cells():
        return "empty"
    if profile.name in request.kinds or not ROW_NUMBER.fullmatch(profile.name.lower()):
        return ""
    return "the number of the row" if profile.counts_rows else ""


def names_rows(profile: Profile) -> bool:
    """Return whether a column of texts names the rows: no two are the same."""
    return profile.hashed >= DIFFERENT and profile.share_different() == 1


class Target(NamedTuple):
    """The column to predict: a number that is read in a way, or one of some classes."""

    name: str
    reading: Reading | None
    classes: list[str]
    notes: list[str]

    def encode(self, path: Path, cells: Series) -> Tensor:
        """Return numbers, float64 (rows,), or classes, int64 (rows,).

        Raises UserError with the row of a cell that is no number, or no class of training.
        """
        if self.reading is not None:
            values = to_numbers(path, self.name, cells, self.reading)
            wrong = ~numpy.isfinite(values)
            why = "not finite"
        else:
            numbers = {label: number for number, label in enumerate(self.classes)}
            values = numpy.array([numbers.get(text, -1) for text in as_texts(cells)])
            wrong = values < 0
            why = "no class of the training split"
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(
                f"{path}, row {cells.index[row]}: {self.name} is {str(cells.iloc[row])!r}, {why}"
            )
        return torch.from_numpy(values)


def choose_target(profile: Profile, found: Survey, request: Request) -> Target:
    """Return whether the target is a number or a class, as --target-kind says.

    "auto" makes classes of texts, of 0 and 1, and of at most ten different whole numbers with ten
    rows each on average.
    """
    name, labels = profile.name, sort_labels(found.labels)
    notes = []
    words = f"; missing as well: {', '.join(found.words)}" if found.words else ""
    if found.without_target:
        notes.append(f"left out: {found.without_target:,} rows without {name}{words}")
    reading = None
    if request.target_kind != "class":
        reading = find_reading(profile, forced=request.target_kind == "number")
    if reading is not None and not (request.target_kind == "auto" and are_classes(labels, profile)):
        unit = f" ({reading.unit})" if reading.unit else ""
        return Target(name, reading, [], [f"target: {name}{unit}, a number", *notes])
    if not labels:
        raise UserError(
            f"{found.path}: {name} has more than {MAX_CLASSES:,} classes; --target-kind number "
            "predicts a number"
        )
    if len(labels) < 2:
        raise UserError(
            f"{found.path}: {name} is {labels[0]!r} in all rows, and classes need two{words}"
        )
    return Target(name, None, labels, [f"target: {name}, one of {len(labels)} classes", *notes])


def are_classes(labels: Iterable[str], profile: Profile) -> bool:
    """Return whether numbers are classes: 0 and 1, or few whole ones with many rows each."""
    try:
        values = {float(label) for label in labels}
    except ValueError:  # 5 %, 1,5 or a date
        return False
    if not values or not all(value.is_integer() for value in values):
        return False
    return values == {0, 1} or (len(values) <= FEW and profile.cells() >= FEW * len(values))


def check_marks(profiles: dict[str, Profile], columns: Columns, target: Target) -> None:
    """Raise UserError if 1.234 may have a mark for thousands, as others have decimal commas."""
    readings = dict(columns.readings)
    if target.reading is not None:
        readings[target.name] = target.reading
    if all(reading.decimal == "." for reading in readings.values()):
        return
    for name, reading in readings.items():
        places = {form.shape: place for form, place in profiles[name].places.items()}
        if reading.decimal == "." and "1.234" in places and places.keys() <= {"12", "1.234"}:
            raise ambiguous(name, places["1.234"])
