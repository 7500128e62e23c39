"""The training, validation and test splits that --dataset chooses from: numbers, categories and a target."""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from loader import InMemory
from runtime import UserError

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; the `info` of each tells of columns and target


class Table(NamedTuple):
    """Cells by column, with the file that they are from and the row in it that each of them stands in."""

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]


def in_memory(tables: list[Table], target: str, categorical: set[str]) -> Splits:
    """Turn the tables of the three splits into tensors, by what the first, the training split, tells of its columns.

    A column is one of categories where `categorical` names it, or where over half of its cells are no numbers. Its
    categories count from 1 in the order of their names; 0 is for those that are not in the training split. Numbers and
    the target are standardised by their mean and deviation in the training split; numbers beyond 5 deviations are cut
    off there, because misprints are among them, which would throw the model far off.
    """
    train = tables[0]
    for table in tables:
        for name in [target, *sorted(categorical), *train.columns]:
            if name not in table.columns:
                raise UserError(f"{table.path}, row 1: no column {name!r}, only {', '.join(table.columns)}")
        if len(table.rows) < 2:
            raise UserError(f"{table.path}: too few rows; training, validation and test need two each")
    names = [name for name in train.columns if name != target]
    if not names:
        raise UserError(f"{train.path}, row 1: there is no column beside {target!r}")
    chosen = [name for name in names if name in categorical or is_text(train.columns[name])]
    categories = {name: sorted(set(train.columns[name])) for name in chosen}
    numeric = [name for name in names if name not in categories]
    deviation, mean = torch.std_mean(numbers_of(train, [*numeric, target]), dim=0, correction=0)
    deviation[deviation == 0] = 1  # a column of one value stays at 0
    info = {
        "target": target, "mean": float(mean[-1]), "deviation": float(deviation[-1]), "categories": categories,
        "numbers": {name: (float(m), float(d)) for name, m, d in zip(numeric, mean, deviation, strict=False)},
    }  # fmt: skip

    def tensors(table: Table) -> InMemory:
        values = ((numbers_of(table, [*numeric, target]) - mean) / deviation).float()
        indices = torch.zeros(len(table.rows), len(categories), dtype=torch.int64)
        for column, (name, known) in enumerate(categories.items()):
            index = {category: number for number, category in enumerate(known, start=1)}
            indices[:, column] = torch.tensor([index.get(cell, 0) for cell in table.columns[name]])
        return InMemory(values[:, :-1].clamp(-5, 5), indices, values[:, -1].contiguous(), info=info)

    train_split, val_split, test_split = map(tensors, tables)
    return train_split, val_split, test_split


def is_text(cells: list[Any]) -> bool:
    """Tell whether over half of the cells hold no number."""
    return sum(math.isnan(as_number(cell)) for cell in cells) > len(cells) / 2


def as_number(cell: Any) -> float:
    """Return the finite number that a cell holds, NaN where it holds none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def numbers_of(table: Table, names: list[str]) -> Tensor:
    """Return the numbers of some columns, (rows, names); raises UserError where a cell holds none."""
    values = torch.tensor([[as_number(cell) for cell in table.columns[name]] for name in names], dtype=torch.float64).T
    for row, column in values.isnan().nonzero()[:1].tolist():
        cell = table.columns[names[column]][row]
        raise UserError(f"{table.path}, row {table.rows[row]}: {names[column]} is {cell!r}, not a number")
    return values


def split(table: Table) -> list[Table]:
    """Shuffle rows, the same way always, and keep a fifth to validate and a fifth to test."""
    order = torch.randperm(len(table.rows), generator=torch.Generator().manual_seed(0)).tolist()
    fifth = len(order) // 5
    return [
        Table(
            table.path,
            {name: [cells[i] for i in part] for name, cells in table.columns.items()},
            [table.rows[i] for i in part],
        )
        for part in (order[2 * fifth :], order[:fifth], order[fifth : 2 * fifth])
    ]


def diabetes(args: Namespace) -> Splits:
    """Ten measurements of 442 patients and the progression of their diabetes a year later (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    columns = dict(zip(data.feature_names, data.data.T.tolist(), strict=True)) | {"progression": data.target.tolist()}
    return in_memory(split(Table(Path("diabetes"), columns, list(range(len(data.target))))), "progression", {"sex"})


def read_csv(path: Path) -> Table:
    """Read a CSV file of UTF-8 text with a header; commas, semicolons or tabs stand between its cells."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, row {number}: {data[error.start]:#x} is not UTF-8; save the file as UTF-8") from None
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for cells in filter(None, reader):  # no empty lines
            rows.append([cell.strip() for cell in cells])
            numbers.append(reader.line_num)
            if len(cells) != len(rows[0]):
                raise UserError(f"{path}, row {numbers[-1]}: {len(cells)} cells, but the header has {len(rows[0])}")
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: {error}") from None
    if len(rows) < 2:
        raise UserError(f"{path} is empty: it needs a header and rows below it")
    twice = {name for name in rows[0] if rows[0].count(name) > 1}
    if twice:
        raise UserError(f"{path}, row 1: more than one column is called {min(twice)!r}")
    return Table(path, {name: column for name, *column in zip(*rows, strict=True)}, numbers[1:])


def csv_files(args: Namespace) -> Splits:
    """Own data: a folder with train.csv, val.csv and test.csv, or one file that is split 3:1:1, always the same way."""
    if args.data_dir.is_dir():
        tables = [read_csv(args.data_dir / f"{part}.csv") for part in ("train", "val", "test")]
    else:
        tables = split(read_csv(args.data_dir))
    if args.target is None:
        raise UserError(f"--target is missing: name the column to predict, one of {', '.join(tables[0].columns)}")
    return in_memory(tables, args.target, {name.strip() for name in args.categorical.split(",") if name})


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "diabetes": diabetes,
    "csv": csv_files,
}
