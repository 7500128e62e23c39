"""Own texts and their labels, from tables or from folders of text files, and their splits."""

from __future__ import annotations

import textwrap
import unicodedata
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import UserError
from .identity import hash_names
from .listing import describe_left_out, list_files, list_folder
from .splits import complete, divide, find_splits, join_names
from .tables import find_encoding, find_tables, open_table, open_text

if TYPE_CHECKING:  # slow to import
    from pandas import Series

TEXT_SUFFIXES = {"", ".md", ".rst", ".text", ".txt"}  # of a text file
LabelledText = tuple[str, str]  # text, label


@dataclass
class Texts:
    """The texts of a split, with the label of each, and its group if there is --group-column."""

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def take(self, indices: Tensor) -> Texts:
        """Return some of the texts."""
        chosen = indices.tolist()
        return Texts(
            [self.texts[index] for index in chosen],
            [self.labels[index] for index in chosen],
            [self.groups[index] for index in chosen if self.groups],
        )


Found = dict[str, Texts]  # "train" and others, or "all", which is to be divided


# -------------------------------------------------------------------------------------- tables


def read_tables(args: Namespace) -> tuple[Found, list[str]]:
    """Return the texts in the tables of --data-dir, by split, and notes.

    Raises UserError that names file and row if they cannot be read, or if a label does not occur in
    the training split.
    """
    paths, notes = find_text_tables(args.data_dir)
    found: Found = {}
    classes = None
    for split in [name for name in ("all", "train", "val", "test") if name in paths]:
        found[split] = Texts()
        for path in paths[split]:
            notes += read_table(args, path, found[split], classes)
        if classes is None:
            classes = set(found[split].labels)
            check_classes(paths[split][0], found[split].labels)
    return found, notes


def find_text_tables(data_dir: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files of each split, see `find_tables`; folders of texts are told apart."""
    hint = "--dataset text_folder reads folders of text files"
    try:
        paths, notes = find_tables(data_dir)
    except UserError as error:
        if data_dir.is_dir() and any(path.is_dir() for path in list_folder(data_dir)):
            raise UserError(f"{error}; {hint}") from None
        raise
    for path in chain(*paths.values()):
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a table; {hint}")
    return paths, notes


def read_table(args: Namespace, path: Path, found: Texts, classes: set[str] | None) -> list[str]:
    """Add the rows of a table to `found`, and return notes.

    Columns that are given by number are those of a table without a header. Raises UserError with
    the row if its label is not among `classes`.
    """
    text_column, label_column = args.columns
    names = [*args.columns, args.group_column] if args.group_column else args.columns
    has_header = not all(name.isdecimal() for name in names)
    table = open_table(path, has_header)
    for name in names:
        if name not in table.columns:
            option = "--columns" if name in args.columns else "--group-column"
            columns = textwrap.shorten(", ".join(table.columns), 100)
            raise UserError(f"{path}, row 1: {option} {name} is not among the columns {columns}")
    first = len(found.labels)
    left_out = 0
    for part in table.parts():
        texts = as_texts(part[text_column])
        labels = as_texts(part[label_column])
        is_whole = (texts != "") & (labels != "")
        left_out += int((~is_whole).sum())
        if classes is not None:
            check_labels(path, labels[is_whole], classes)
        if args.group_column:
            groups = as_texts(part[args.group_column])[is_whole]
            for row in groups.index[groups == ""][:1]:
                raise UserError(f"{path}, row {row}: {args.group_column} is empty")
            found.groups += groups.tolist()
        found.texts += texts[is_whole].tolist()
        found.labels += labels[is_whole].tolist()
    if not has_header and classes is None:
        check_no_header(path, found.labels[first:])
    notes = list(table.notes)
    if left_out:
        notes.append(f"left out: {left_out:,} rows without a text or a label in {path.name}")
    return notes


def as_texts(cells: Series) -> Series:
    """Return the cells of a column as texts without spaces around, "" where there is none."""
    texts = cells.astype(str).str.strip()
    if cells.dtype.kind == "f":  # whole numbers, where some cells are empty
        texts = texts.str.removesuffix(".0").mask(cells.isna(), "")
    return texts


def check_labels(path: Path, labels: Series, classes: set[str]) -> None:
    """Raise UserError with the first row whose label is not among `classes`."""
    unknown = labels[~labels.isin(classes)]
    for row, label in unknown[:1].items():
        raise UserError(
            f"{path}, row {row}: the label {label!r} does not occur in the training split "
            f"({len(unknown):,} such rows in this part)"
        )


def check_no_header(path: Path, labels: list[str]) -> None:
    """Raise UserError if the first row is a header all the same: its label occurs once."""
    if labels and labels[0] not in labels[1:]:
        raise UserError(
            f"{path}, row 1: no other row has its label {labels[0]!r}; if it is a header, give "
            "the names of the columns to --columns, not their numbers"
        )


def check_classes(source: Path, labels: list[str]) -> None:
    """Raise UserError if there is one class, or if labels look like something else."""
    number = len(set(labels))
    if not 1 < number <= len(labels) // 2:
        raise UserError(
            f"{source}: {number} different labels in {len(labels)} rows; are --columns right?"
        )


# ------------------------------------------------------------------------------- text files


def read_folders(args: Namespace) -> tuple[Found, list[str]]:
    """Return the text files of --data-dir by split, SPLIT/CLASS/*.txt or CLASS/*.txt, and notes.

    Raises UserError if there are none, or a class is not in the training split.
    """
    folders, notes = find_splits(args.data_dir)
    if not folders:
        folders = {"all": [args.data_dir]}
    found: Found = {}
    left_out: Counter[str] = Counter()
    known: set[str] = set()  # the classes of the training split
    for split in [name for name in ("all", "train", "val", "test") if name in folders]:
        found[split] = Texts()
        for folder in folders[split]:
            classes = [path for path in list_folder(folder) if path.is_dir()]
            left_out["file beside the classes"] += len(list_folder(folder)) - len(classes)
            for path in classes:
                left_out += read_class(path, found[split])
            known = known or set(found[split].labels)
            for name in sorted(set(found[split].labels) - known)[:1]:
                raise UserError(f"{folder / name}: this class has no text in the training split")
            if len(classes) < 2:
                raise UserError(
                    f"{folder} needs a folder of text files for each class, at least two; "
                    f"it holds {join_names(list_folder(folder)) or 'nothing'}"
                )
    return found, [*notes, *describe_left_out(+left_out)]


def read_class(folder: Path, found: Texts) -> Counter[str]:
    """Add the text files of a class to `found`, and return what was left out by its kind."""
    files, left_out = list_files(folder, TEXT_SUFFIXES)
    for path in files:
        text = read_text(path)
        if text:
            found.texts.append(text)
            found.labels.append(compose(folder.name))
        else:
            left_out["empty file"] += 1
    return left_out


def read_text(path: Path) -> str:
    """Return the text in a file. Raises UserError if it cannot be read or decoded."""
    with open_text(path, find_encoding(path)) as file:
        return file.read().strip()


def compose(name: str) -> str:
    """Return the name of a folder with whole letters: macOS divides those with accents."""
    return unicodedata.normalize("NFC", name)


# -------------------------------------------------------------------------------------- splits


def arrange_splits(
    found: Found, notes: list[str]
) -> tuple[list[list[LabelledText]], list[str], list[str]]:
    """Return the texts and labels of train, val and test, the classes in order, and notes.

    What has no splits is divided 8:1:1, and a training split without val 9:1: in the same way for
    every --seed, with the same share of each class, copies of a text in one split. With groups, a
    group is in one split instead. Raises UserError if there is too little to divide.
    """
    if "all" in found:
        found = {"train": found["all"]}
    train, val, test = complete(found, divide_texts)
    classes = sort_classes(train.labels + val.labels + test.labels)
    others = {"validation": val} if test is val else {"validation": val, "test": test}
    notes = [*notes, *describe_copies(train, others)]
    rows = [list(zip(part.texts, part.labels, strict=True)) for part in (train, val, test)]
    return rows, classes, notes


def divide_texts(texts: Texts, val: float, test: float) -> list[Texts]:
    """Divide texts into train, val and test; `val` and `test` are shares."""
    keys = hash_names(texts.groups or texts.texts)
    strata = None if texts.groups else texts.labels
    train, validation, rest = divide(keys, val, test, strata)
    if not len(validation) or (test and not len(rest)):
        kind = "groups" if texts.groups else "texts"
        raise UserError(
            f"{len(keys.unique()):,} different {kind} are too few to divide into splits"
        )
    return [texts.take(train), texts.take(validation), texts.take(rest)]


def sort_classes(labels: list[str]) -> list[str]:
    """Return the different labels in order: 2 is before 10."""
    classes = sorted(set(labels))
    if all(name.isdecimal() for name in classes):
        return sorted(classes, key=int)
    return classes


def describe_copies(train: Texts, others: dict[str, Texts]) -> list[str]:
    """Return notes about what other splits have in common with train, and should not."""
    notes = []
    train_keys, train_groups = hash_names(train.texts), set(train.groups)
    for name, part in others.items():
        both = int(torch.isin(hash_names(part.texts), train_keys).sum())
        if both:
            notes.append(f"{both:,} texts of the {name} split are in the training split, too")
        shared = len(train_groups & set(part.groups))
        if shared:
            notes.append(f"{shared:,} groups of the {name} split are in the training split, too")
    return notes
