"""The training, validation and test splits: numbers, categories and a target."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .engine.errors import UserError
from .engine.loader import InMemory
from .engine.splits import split_list
from .engine.tables import as_number, read_csv

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the columns

OUTLIER = 5  # standard deviations at which numbers are cut off


class Table(NamedTuple):
    """Cells by column, with their file and the row of each of them in it."""

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]


def in_memory(tables: list[Table], target: str, categorical: set[str]) -> Splits:
    """Return splits in memory, encoded by what the first table, the training split, holds.

    A column holds categories if `categorical` names it, or if over half of its cells are no
    numbers. Categories count from 1 in the order of their names; 0 is a category that the training
    split does not have. Numbers and the target are standardized by their mean and deviation in the
    training split; numbers beyond 5 deviations, which misprints may be, are cut off there.
    """
    for table in tables:
        check_columns(table, [target, *sorted(categorical), *tables[0].columns])
    categories = {}
    numeric = []
    for name, cells in tables[0].columns.items():
        if name in categorical or (name != target and is_text(cells)):
            categories[name] = sorted(set(cells))
        elif name != target:
            numeric.append(name)
    if not categories and not numeric:
        raise UserError(f"{tables[0].path}, row 1: there is no column beside {target!r}")

    values = get_numbers(tables[0], [*numeric, target])
    deviation, mean = torch.std_mean(values, dim=0, correction=0)
    deviation[deviation == 0] = 1  # a column of one value stays at 0
    info = {
        "target": target,
        "mean": float(mean[-1]),  # of the target
        "deviation": float(deviation[-1]),
        "numbers": dict(zip(numeric, torch.stack((mean, deviation), dim=1).tolist(), strict=False)),
        "categories": categories,
    }
    splits = []
    for table in tables:
        values = ((get_numbers(table, [*numeric, target]) - mean) / deviation).float()
        numbers = values[:, :-1].clamp(-OUTLIER, OUTLIER)  # (rows, numbers)
        indices = get_indices(table, categories)  # (rows, categories)
        splits.append(InMemory(numbers, indices, values[:, -1].contiguous(), info=info))
    train, val, test = splits
    return train, val, test


def check_columns(table: Table, names: list[str]) -> None:
    """Raise UserError if a table lacks a column, or has fewer than two rows."""
    for name in names:
        if name not in table.columns:
            found = ", ".join(table.columns)
            raise UserError(f"{table.path}, row 1: no column {name!r}, only {found}")
    if len(table.rows) < 2:
        raise UserError(f"{table.path}: too few rows; training, validation and test need two each")


def is_text(cells: list[Any]) -> bool:
    """Return whether over half of the cells hold no number."""
    numbers = torch.tensor([as_number(cell) for cell in cells])
    return int(numbers.isnan().sum()) > len(cells) / 2


def get_numbers(table: Table, names: list[str]) -> Tensor:
    """Return the numbers of some columns: float64 (rows, names).

    Raises UserError if a cell holds none.
    """
    columns = []
    for name in names:
        columns.append([as_number(cell) for cell in table.columns[name]])
    values = torch.tensor(columns, dtype=torch.float64).T
    for row, column in values.isnan().nonzero()[:1].tolist():
        name = names[column]
        cell = table.columns[name][row]
        raise UserError(f"{table.path}, row {table.rows[row]}: {name} is {cell!r}, not a number")
    return values


def get_indices(table: Table, categories: dict[str, list[Any]]) -> Tensor:
    """Return the numbers of the categories, 0 for an unknown one: int64 (rows, categories)."""
    indices = torch.zeros(len(table.rows), len(categories), dtype=torch.int64)
    for column, (name, known) in enumerate(categories.items()):
        numbers = {category: number for number, category in enumerate(known, start=1)}
        indices[:, column] = torch.tensor([numbers.get(cell, 0) for cell in table.columns[name]])
    return indices


def split(table: Table) -> list[Table]:
    """Split the rows 3:1:1 at random, in the same way for every --seed."""
    tables = []
    for chosen in split_list(range(len(table.rows)), val=0.2, test=0.2):
        columns = {}
        for name, cells in table.columns.items():
            columns[name] = [cells[index] for index in chosen]
        tables.append(Table(table.path, columns, [table.rows[index] for index in chosen]))
    return tables


def diabetes(args: Namespace) -> Splits:
    """Return ten measurements of 442 patients, and the progression of their diabetes after a year.

    Efron et al. 2004; the data come with scikit-learn.
    """
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    columns = dict(zip(data.feature_names, data.data.T.tolist(), strict=True))
    columns["progression"] = data.target.tolist()
    table = Table(Path("diabetes"), columns, list(range(len(data.target))))
    return in_memory(split(table), "progression", categorical={"sex"})


def csv_files(args: Namespace) -> Splits:
    """Return own data: train.csv, val.csv, test.csv in --data-dir, or one file to split 3:1:1."""
    if args.data_dir.is_dir():
        tables = [read_table(args.data_dir / f"{name}.csv") for name in ("train", "val", "test")]
    else:
        tables = split(read_table(args.data_dir))
    if args.target is None:
        found = ", ".join(tables[0].columns)
        raise UserError(f"--target is missing: name the column to predict, one of {found}")
    categorical = {name.strip() for name in args.categorical.split(",") if name}
    return in_memory(tables, args.target, categorical)


def read_table(path: Path) -> Table:
    """Read a CSV file. Raises UserError if two columns have the same name."""
    header, rows, numbers = read_csv(path)
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path}, row 1: more than one column is called {name!r}")
    columns = {}
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        columns[name] = list(cells)
    return Table(path, columns, numbers)


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "diabetes": diabetes,
    "csv": csv_files,
}
