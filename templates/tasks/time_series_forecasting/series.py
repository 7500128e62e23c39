"""Time series of own tables: their channels, in order of time, and their windows."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from .cells import Profile, Reading, expect_commas, find_form, find_reading, to_numbers
from .errors import UserError
from .identity import hash_names
from .listing import list_folder
from .tables import SUFFIXES, Table, open_table
from .times import TimeReader, Times, describe_steps, find_formats, sort_times

if TYPE_CHECKING:  # slow to import
    from pandas import DataFrame

MULTIPLIER = -7046029254386353131  # odd, with bits all over, as a multiplicative hash needs it
ROWS_AT_ONCE = 65_536  # rows that are worked on at once


@dataclass
class TimeSeries:
    """One or several series, one after the other, each in order of time."""

    source: str  # for messages
    values: Tensor  # (rows, channels), float; NaN where a value is missing
    channels: list[str]  # the targets, other inputs, and the channels that are known in advance
    targets: list[str] = field(default_factory=list)  # by default all channels
    known: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of several series
    lengths: list[int] = field(default_factory=list)  # rows of each series
    keys: Tensor | None = None  # a hash of each row, int64 (rows,)
    notes: list[str] = field(default_factory=list)
    columns: Columns | None = None  # of the table
    times: Times | None = None  # of the rows
    readings: dict[str, Reading] = field(default_factory=dict)  # how channels become numbers

    def __post_init__(self) -> None:
        self.targets = self.targets or self.channels
        self.lengths = self.lengths or [len(self.values)]

    @property
    def numbers(self) -> Tensor:
        """The number of the series of each row, int64 (rows,)."""
        return torch.arange(len(self.lengths)).repeat_interleave(torch.tensor(self.lengths))


# ------------------------------------------------------------------------ reading of a table


@dataclass
class Columns:
    """What the columns of a table are."""

    time: str
    series: str  # the name of several series, or ""
    targets: list[str]
    inputs: list[str]  # beside the targets
    known: list[str]  # in advance


def read_series(args: Namespace) -> TimeSeries:
    """Return the series in the table of --data-dir. Raises UserError that names file and row."""
    table = open_table(find_table(args.data_dir))
    columns, notes = choose_columns(args, table)
    series = read_columns(table, columns, min(args.rows or table.length, table.length))
    series.notes = notes + series.notes
    return series


def read_columns(
    table: Table, columns: Columns, length: int, readings: dict[str, Reading] | None = None
) -> TimeSeries:
    """Return the series in the first rows of a table.

    Without `readings` of the channels, they are found out. Raises UserError that names the row.
    """
    path = table.path
    channels = [*columns.targets, *columns.inputs, *columns.known]
    rows = numpy.empty(length, dtype=numpy.int32)  # in the file
    numbers = numpy.zeros(length if columns.series else 0, dtype=numpy.int32)  # of the series
    found: dict[str, int] = {}  # the numbers by the names
    reader = TimeReader(path, columns.time)
    profiles = [Profile(name) for name in channels]
    for start, part in take_rows(table, length):
        end = start + len(part)
        reader.add(part[columns.time])
        rows[start:end] = part.index
        if columns.series:
            numbers[start:end] = number_series(path, part[columns.series], found)
        for profile in profiles:
            profile.add(path, part[profile.name])
    names, numbers = sort_names(found, numbers)
    if not names:
        numbers = numpy.broadcast_to(numpy.int32(0), length)
    times = reader.finish()
    readings = readings or choose_readings(table, profiles)
    values = read_values(table, length, readings)
    notes = [*table.notes, *describe_numbers(readings), *describe_missing(channels, values, rows)]
    order, sorted_notes = sort_times(path, times, rows, numbers)
    if order is not None:
        values, rows, numbers = values[order], rows[order], numbers[order]
        times.values = times.values[order]
    return TimeSeries(
        source=str(path),
        values=values,
        channels=channels,
        targets=columns.targets,
        known=columns.known,
        names=names,
        lengths=numpy.bincount(numbers).tolist() if names else [length],
        keys=hash_rows(times, numbers, names, values, channels),
        columns=columns,
        times=times,
        readings=readings,
        notes=notes + sorted_notes + describe_steps(times, rows, numbers),
    )


def describe_source(series: TimeSeries) -> dict[str, Any]:
    """Return how the table of a series is read, as plain values: its columns and their numbers."""
    if series.columns is None:
        return {}
    readings = {name: [*form, decimal] for name, (form, decimal) in series.readings.items()}
    return {
        "time": series.columns.time,
        "series": series.columns.series,
        "inputs": series.columns.inputs,
        "readings": readings,
    }


def take_rows(table: Table, length: int) -> Iterator[tuple[int, DataFrame]]:
    """Yield the first rows of a table in parts, each with the number of rows before it."""
    start = 0
    for part in table.parts():
        yield start, part.iloc[: length - start]
        start += len(part)
        if start >= length:
            return


def choose_readings(table: Table, profiles: list[Profile]) -> dict[str, Reading]:
    """Return how the cells of each channel become numbers. Raises UserError if they are none."""
    if table.separator == ";":
        expect_commas(profiles)
    return {profile.name: choose_reading(profile) for profile in profiles}


def choose_reading(profile: Profile) -> Reading:
    """Return how the cells of a channel become numbers. Raises UserError if they are none."""
    reading = find_reading(profile, forced=True)
    if reading is None or reading.form.kind != "number":
        place = next(iter(profile.places.values()))
        raise UserError(
            f"{place.path}, row {place.row}: {profile.name} is {place.cell!r}, not a number; "
            "leave the column out of the file, or is it --time-column or --series-column?"
        )
    return reading


def read_values(table: Table, length: int, readings: dict[str, Reading]) -> Tensor:
    """Return the numbers of some columns, float64 (rows, columns), NaN where one is missing.

    Raises UserError with the row of an infinite one.
    """
    values = torch.empty(length, len(readings), dtype=torch.float64)
    for start, part in take_rows(table, length):
        for channel, (name, reading) in enumerate(readings.items()):
            column = to_numbers(table.path, name, part[name], reading)
            for index in numpy.isinf(column).nonzero()[0][:1].tolist():
                cell = str(part[name].iloc[index])
                row = part.index[index]
                raise UserError(f"{table.path}, row {row}: {name} is {cell!r}, not a number")
            values.numpy()[start : start + len(part), channel] = column
    return values


def describe_numbers(readings: dict[str, Reading]) -> list[str]:
    """Return a note about columns of numbers that are written in another way than 1234.5."""
    parts = []
    for name, reading in readings.items():
        how = ["decimal commas"] if reading.decimal == "," else []
        how += [f"the unit {reading.unit}"] if reading.unit else []
        if how:
            parts.append(f"{name} has {' and '.join(how)}")
    return ["; ".join(parts)] if parts else []


def find_table(data_dir: Path) -> Path:
    """Return the file of a table. Raises UserError if a folder does not hold exactly one."""
    if not data_dir.is_dir():
        return data_dir
    paths = list_folder(data_dir)
    files = [path for path in paths if path.name.lower().endswith(tuple(SUFFIXES))]
    if len(files) != 1:
        names = textwrap.shorten(", ".join(path.name for path in paths), 100) or "nothing"
        raise UserError(
            f"{data_dir} needs one table (.csv, .tsv or .parquet), it holds {names}: name one file "
            "by --data-dir; it is split in order of time, and may hold several series"
        )
    return files[0]


def check_header(table: Table) -> None:
    """Raise UserError if the names of the columns are a date and numbers, those of a row."""
    first, *others = table.columns
    is_date = find_formats(first)[:1] not in ([], ["number"])  # 2020 may be a name
    if is_date and all(find_form(name).kind == "number" for name in others):
        raise UserError(
            f"{table.path}, row 1: {textwrap.shorten(', '.join(table.columns), 100)} are values: "
            "put the names of the columns above them"
        )


def choose_columns(args: Namespace, table: Table) -> tuple[Columns, list[str]]:
    """Return what the columns are, and a note if one is left out.

    Without options the first column is the time, and all others are targets. Raises UserError if a
    name is not among the columns.
    """
    check_header(table)
    names = list(table.columns)
    notes = []
    if not args.time_column and len(names) > 1 and is_index(table):
        del names[0]
        notes.append("left out: the first column, which has no name and counts the rows")
    options = {
        "--time-column": [args.time_column or names[0]],
        "--series-column": [args.series_column] if args.series_column else [],
        "--target-column": args.target_column,
        "--known-column": args.known_column,
    }
    used: dict[str, str] = {}  # the option by the column
    for option, chosen in options.items():
        for name in chosen:
            if name not in names:
                found = textwrap.shorten(", ".join(names), 100)
                raise UserError(f"{table.path}: {option} {name} is not among the columns {found}")
            if name in used:
                raise UserError(
                    f"{table.path}: the column {name} is both {used[name]} and {option}"
                )
            used[name] = option
    others = [name for name in names if name not in used]
    targets = args.target_column or others
    if not targets:
        raise UserError(
            f"{table.path}, row 1: there is no column beside {options['--time-column'][0]}, which "
            "is taken for the time"
        )
    inputs = others if args.target_column else []
    return Columns(
        options["--time-column"][0], args.series_column, targets, inputs, args.known_column
    ), notes


def is_index(table: Table) -> bool:
    """Return whether the first column has no name and counts from 0, as pandas writes its index."""
    if table.columns[0] != "column 1":
        return False
    cells = next(table.parts()).iloc[:, 0]
    return [str(cell) for cell in cells[:3]] == ["0", "1", "2"]


def number_series(path: Path, cells: Any, names: dict[str, int]) -> numpy.ndarray:
    """Return the number of the series of each row, (rows,); new ones are added to `names`."""
    cells = cells.astype(str).str.strip()
    for name in cells.unique():
        if not name:
            row = cells.index[(cells == "").argmax()]
            raise UserError(f"{path}, row {row}: the name of the series is empty")
        names.setdefault(name, len(names))
    return cells.map(names).to_numpy(numpy.int32)


def sort_names(found: dict[str, int], numbers: numpy.ndarray) -> tuple[list[str], numpy.ndarray]:
    """Return the names of series in order, and the numbers of the rows by it."""
    if not found:
        return [], numbers
    names = sorted(found)
    new = numpy.empty(len(names), dtype=numpy.int32)
    new[[found[name] for name in names]] = range(len(names))
    return names, new[numbers]


def describe_missing(channels: list[str], values: Tensor, rows: numpy.ndarray) -> list[str]:
    """Return a note with the number of missing values and the place of the first one."""
    parts = []
    for channel, name in enumerate(channels):
        missing = values[:, channel].isnan()
        count = int(missing.sum())
        if count:
            parts.append(f"{name} {count:,}, first in row {rows[int(missing.int().argmax())]}")
    return [f"missing values: {'; '.join(parts)}"] if parts else []


def hash_rows(
    times: Times, numbers: numpy.ndarray, names: list[str], values: Tensor, channels: list[str]
) -> Tensor:
    """Return a key of each row, int64 (rows,): of its series, time and values.

    It does not depend on the order of the channels.
    """
    order = sorted(range(len(channels)), key=channels.__getitem__)
    keys = torch.from_numpy(times.values).view(torch.int64) * MULTIPLIER
    if names:
        keys += hash_names(names)[torch.from_numpy(numbers).long()]
    for part, some_values in zip(keys.split(ROWS_AT_ONCE), values.split(ROWS_AT_ONCE), strict=True):
        for channel in order:
            part ^= part >> 29
            part += some_values.view(torch.int64)[:, channel]
            part *= MULTIPLIER
    return keys


# ------------------------------------------------------------------------ windows


def is_short(args: Namespace, rows: int) -> bool:
    """Return whether a series has too few rows for a window of each split."""
    train, val = rows * 6 // 10, rows * 8 // 10
    return min(train - args.context, val - train, rows - val) < args.horizon


def standardize(args: Namespace, series: TimeSeries) -> tuple[Tensor, Tensor]:
    """Give the values a mean of 0 and a deviation of 1 in the training split of each series.

    The new values are float32. Returns means and deviations, float64 (series, channels). A channel
    that is constant in training, apart from rounding, is not divided. The values of a series that
    is too short for windows become 0. Raises UserError if a channel of another one has no value.
    """
    scaled = torch.empty(series.values.shape)
    means, deviations = [], []
    scaled_parts = scaled.split(series.lengths)
    for part, scaled_part in zip(series.values.split(series.lengths), scaled_parts, strict=True):
        if is_short(args, len(part)):
            scaled_part.zero_()
            means.append(torch.zeros(part.shape[1], dtype=torch.float64))
            deviations.append(torch.ones(part.shape[1], dtype=torch.float64))
            continue
        train = part[: len(part) * 6 // 10].double()
        std, mean = torch.std_mean(train, dim=0, correction=0)
        for channel in range(part.shape[1]):
            known = train[:, channel]
            if mean[channel].isnan():  # values are missing
                known = known[~known.isnan()]
                std[channel], mean[channel] = torch.std_mean(known, correction=0)
            if not len(known):
                name = series.channels[channel]
                if series.names:
                    name += f" of {series.names[len(means)]}"
                raise UserError(
                    f"{series.source}: {name} has no value in the training split, the first 60 % "
                    "of the time"
                )
            low, high = known.aminmax()
            if std[channel] <= 1e-9 * max(-low, high):
                std[channel] = 1
        chunks = zip(part.split(ROWS_AT_ONCE), scaled_part.split(ROWS_AT_ONCE), strict=True)
        for values, scaled_values in chunks:  # without a second copy of all values
            scaled_values.copy_((values - mean) / std)
        means.append(mean)
        deviations.append(std)
    series.values = scaled
    return torch.stack(means), torch.stack(deviations)


def find_windows(args: Namespace, series: TimeSeries) -> tuple[list[Tensor], list[str]]:
    """Return the first rows of the windows of train, val and test, and notes on what is left out.

    Raises UserError if a split has none, or all series are too short.
    """
    length = args.context + args.horizon
    parts: list[list[Tensor]] = [[], [], []]
    offset = 0
    short = []
    for number, rows in enumerate(series.lengths):
        borders = [0, rows * 6 // 10, rows * 8 // 10, rows]
        if is_short(args, rows):
            short.append(number)
        else:
            for part, (start, end) in zip(parts, pairwise(borders), strict=True):
                first = offset + max(start - args.context, 0)
                part.append(torch.arange(first, offset + end - length + 1))
        offset += rows
    if len(short) == len(series.lengths):
        raise UserError(
            f"{series.source}: {max(series.lengths)} rows, split 6:2:2, are too few "
            f"for --context {args.context} and --horizon {args.horizon}"
        )
    notes = []
    if short:
        name = series.names[short[0]]
        notes.append(f"left out: {len(short):,} x series too short for a window, such as {name}")
    starts = [torch.cat(pieces) if len(pieces) > 1 else pieces[0] for pieces in parts]
    if not series.values.sum().isnan():
        return starts, notes
    whole = leave_out_missing(series, starts, length)
    count = sum(map(len, starts))
    left_out = count - sum(map(len, whole))
    notes.append(f"left out: {left_out:,} of {count:,} windows, in which values are missing")
    return whole, notes


def leave_out_missing(series: TimeSeries, starts: list[Tensor], length: int) -> list[Tensor]:
    """Return the starts of the windows without a missing value, by split.

    Raises UserError if a split has none.
    """
    missing = series.values.isnan().any(dim=1)
    before = torch.cat((torch.zeros(1, dtype=torch.int64), missing.cumsum(0)))  # each row
    whole = []
    for name, part in zip(("train", "val", "test"), starts, strict=True):
        whole.append(part[before[part + length] == before[part]])
        if not len(whole[-1]):
            raise UserError(
                f"{series.source}: no {length} steps of the {name} split are without a missing "
                "value; fill the empty cells, or try a lower --context"
            )
    return whole
