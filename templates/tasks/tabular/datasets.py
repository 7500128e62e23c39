"""The training, validation and test splits: numbers, categories and a target."""

from argparse import Namespace
from collections.abc import Callable

from .engine.columns import Request, parse_kinds
from .engine.encoding import Encoded, read_splits, split_columns
from .engine.errors import UserError, refuse_unused
from .engine.loader import InMemory

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the columns

OWN = ("data_dir", "target", "target_kind", "group_column", "columns")  # options of own tables


def in_memory(table: Encoded) -> Splits:
    """Return the splits of a table: numbers, categories and targets, as `encode` describes them."""
    splits = []
    for rows in (table.train, table.val, table.test):
        split = InMemory(rows.numbers, rows.categories, rows.targets, info=table.info)
        split.keys = rows.keys
        splits.append(split)
    train, val, test = splits
    return train, val, test


def diabetes(args: Namespace) -> Splits:
    """Return ten measurements of 442 patients, and the progression of their diabetes after a year.

    Efron et al. 2004; the data come with scikit-learn.
    """
    refuse_unused(args, *OWN)
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    columns = dict(zip(data.feature_names, data.data.T, strict=True))
    columns["progression"] = data.target
    request = Request("progression", "number", kinds={"sex": "category"})
    return in_memory(split_columns(columns, "diabetes", request))


def breast_cancer(args: Namespace) -> Splits:
    """Return thirty measurements of 569 tumours, which are benign or malignant.

    Street et al. 1993; the data come with scikit-learn.
    """
    refuse_unused(args, *OWN)
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = dict(zip(data.feature_names, data.data.T, strict=True))
    columns["diagnosis"] = data.target_names[data.target]
    return in_memory(split_columns(columns, "breast_cancer", Request("diagnosis")))


def csv_files(args: Namespace) -> Splits:
    """Return own data: the table, or the splits, in --data-dir. `engine/encoding.py` reads them."""
    if args.data_dir is None:
        raise UserError("--data-dir is missing: a table, or a directory of one or of splits")
    kinds = parse_kinds(args.columns)
    request = Request(args.target, args.target_kind, kinds, args.group_column)
    return in_memory(read_splits(args.data_dir, request))


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "diabetes": diabetes,
    "breast_cancer": breast_cancer,
    "csv": csv_files,
}
