"""Splits of a data set: found by their names, or divided in the same way for every --seed."""

import math
import re
# {% if cookiecutter.task in cookiecutter._uses.folds %}
from argparse import ArgumentTypeError, Namespace
# {% endif %}
# {% if cookiecutter.task not in cookiecutter._uses.complete %}
from collections.abc import Collection, Iterator, Sequence
# {% elif cookiecutter.task in cookiecutter._uses.folds %}
from collections.abc import Callable, Collection, Iterator, Sequence
# {% else %}
from collections.abc import Callable, Collection, Sequence
# {% endif %}
# {% if cookiecutter.task in cookiecutter._uses.folds %}
from contextlib import contextmanager
# {% endif %}
from itertools import chain
from pathlib import Path
# {% if cookiecutter.task not in cookiecutter._uses.complete %}
from typing import Any
# {% else %}
from typing import Any, TypeVar
# {% endif %}

import numpy
import torch
from torch import Tensor

from .errors import UserError
# {% if cookiecutter.task in cookiecutter._uses.named_splits %}
from .listing import list_folder
# {% endif %}

ALIASES = {
    "train": {"train", "training"},
    "val": {"val", "valid", "validation", "dev"},
    "test": {"test", "testing"},
}
# What may stand behind a split's name: train2017, test_images, training_set, train-00000-of-00002.
ENDING = re.compile(r"([-_ .]*(\d+|of|images?|imgs?|data|files|texts|set|split))+")
SHARD = re.compile(r".+[-_.]\d+([-_]of[-_]\d+)?")  # one of several files
NO_VAL = "there is no validation split: a tenth of the training split validates"
NO_TEST = "there is no test split: the validation split is tested, too"
# {% if cookiecutter.task in cookiecutter._uses.complete %}

Part = TypeVar("Part")  # the samples of a split, in whatever form
# {% endif %}


# ------------------------------------------------------------------------ splits by their names


# {% if cookiecutter.task in cookiecutter._uses.named_splits %}
def find_splits(
    folder: Path, suffixes: Collection[str] | None = None, folders: bool = True
) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the folders in a folder that are "train", "val" and "test", and notes; often none.

    With `suffixes`, in lower case, files with one of them are splits as well, also in several parts
    such as train-0.csv and train-1.csv; without `folders` they alone are. Names are compared
    without case: train or training; val, valid, validation or dev; test or testing; then a number,
    or a word such as images or set. "val" or "test" may be missing, which is a note. Raises
    UserError that lists what was found if it is anything else.
    """
    found: dict[str, list[Path]] = {}
    others = []
    for path in list_folder(folder):
        stem = path.name.lower()
        if path.is_file():
            stem, _, suffix = stem.partition(".")
            if suffixes is None or f".{suffix}" not in suffixes:
                continue
        elif not folders:
            continue
        split = get_split(stem)
        if split:
            found.setdefault(split, []).append(path)
        else:
            others.append(path)
    if not found:
        return {}, []
    check_splits(folder, found, others)
    return found, describe_splits(found, others)


# {% endif %}
def get_split(stem: str) -> str:
    """Return the split of a name without suffix, in lower case, or an empty string."""
    stem = stem.removeprefix("instances_")  # of COCO's files
    for split, aliases in ALIASES.items():
        for alias in aliases:
            rest = stem.removeprefix(alias)
            if stem == alias or (rest != stem and ENDING.fullmatch(rest)):
                return split
    return ""


def check_splits(folder: Path, found: dict[str, list[Path]], others: list[Path]) -> None:
    """Raise UserError if a split is there twice, or one that is needed is missing."""
    names = join_names([*chain(*found.values()), *others])
    for split, paths in found.items():
        stems = [path.name.partition(".")[0] for path in paths if path.is_file()]
        if len(paths) > 1 and sum(bool(SHARD.fullmatch(stem)) for stem in stems) < len(paths):
            raise UserError(f"{folder} has more than one {split} split; it holds {names}")
    if "train" not in found or len(found) == 1:
        raise UserError(
            f"{folder} has the split {' and '.join(found)} alone; it holds {names}: "
            "train and one of val and test are needed, or none of these names"
        )
    for path in others:
        for alias in sorted(set().union(*ALIASES.values())):
            if re.match(f"{alias}[^a-z]", path.name.lower()):
                raise UserError(f"{folder}: is {path.name} a split? It holds {names}")


def describe_splits(found: Collection[str], others: list[Path]) -> list[str]:
    """Return notes about splits that are missing, and about what lies beside the others."""
    notes = [f"left out beside the splits: {join_names(others)}"] if others else []
    if "val" not in found:
        notes.append(NO_VAL)
    if "test" not in found:
        notes.append(NO_TEST)
    return notes


def join_names(paths: list[Path]) -> str:
    """Return the names of paths for a message, the first ten of them."""
    names = sorted(path.name for path in paths)
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


# {% if cookiecutter.task in cookiecutter._uses.classes + cookiecutter._uses.boxes %}
def describe_absent(class_counts: dict[str, dict[str, int]]) -> list[str]:
    """Return notes about classes without a sample in a split: its counts are by split and class."""
    splits: dict[str, list[str]] = {}  # by the classes that they lack
    for split, counts in class_counts.items():
        absent = ", ".join(name for name, count in counts.items() if not count)
        if absent:
            splits.setdefault(absent, []).append(split)
    notes = []
    for names, where in splits.items():
        notes.append(f"classes that are not in {' and '.join(where)}: {names}")
    return notes


# {% endif %}
# ------------------------------------------------------------------------------ division of samples


# {% if cookiecutter.task in cookiecutter._uses.complete %}
def complete(
    splits: dict[str, Part], divide_part: Callable[[Part, float, float], Sequence[Part]]
) -> list[Part]:
    """Return the training, validation and test split, of which only the first need be there.

    Without val, `divide_part(train, val, test)` divides train by shares: 9:1, or 8:1:1 if there is
    no test split either. If test alone is missing, val is tested.
    """
    if "val" not in splits:
        share = 0.0 if "test" in splits else 0.1
        train, val, test = divide_part(splits["train"], 0.1, share)
        splits = {"test": test, **splits, "train": train, "val": val}
    return [splits["train"], splits["val"], splits.get("test", splits["val"])]


# {% endif %}
# {% if cookiecutter.task in cookiecutter._uses.folds %}
class Fold:
    """The fold that --fold asks for while data are read: part `number` of `total` is tested."""

    def __init__(self) -> None:
        self.number = 0
        self.total = 0  # 0: no fold is asked for
        self.is_used = False


FOLD = Fold()  # of the data that are being read: `divide` is far from the options


def fold(text: str) -> str:
    """Type of --fold: i/k, with 1 <= i <= k and k >= 2."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]) or int(match[2]) < 2:
        raise ArgumentTypeError(f"{text!r} is not i/k, such as 1/5 to 5/5")
    return f"{int(match[1])}/{int(match[2])}"


@contextmanager
def folding(args: Namespace) -> Iterator[None]:
    """Divide the data that are read in a `with` block as --fold says.

    Raises UserError if they are not divided at all.
    """
    if args.fold is None:
        yield
        return
    FOLD.number, FOLD.total = map(int, args.fold.split("/"))
    FOLD.is_used = False
    try:
        yield
    finally:
        FOLD.total = 0
    if not FOLD.is_used:
        raise UserError(
            f"--fold {args.fold}: the splits of --dataset {args.dataset} are given, and are not "
            "divided into folds"
        )


def divide_by_fold(
    keys: Tensor, test: float, strata: Sequence[Any] | Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of a split whose test is a fold; a tenth of the rest validates.

    In the order of strata and keys, every k-th key is in the same fold.
    """
    number, total = FOLD.number, FOLD.total
    FOLD.is_used = True
    if not test:
        raise UserError(f"--fold {number}/{total}: the data have a test split of their own")
    stratum = first_strata(keys, strata)
    order = sort_keys(keys, stratum)
    different, places = keys[order].unique_consecutive(return_inverse=True)
    if len(different) <= total:
        raise UserError(
            f"--fold {number}/{total}: there are {len(different):,} different samples or groups, "
            "and more than there are folds are needed"
        )
    tested = torch.zeros(len(keys), dtype=torch.bool)
    tested[order] = places % total == number - 1
    rest = (~tested).nonzero().flatten()
    stratum = None if stratum is None else stratum[rest]
    train, val, _ = divide_by_shares(keys[rest], 0.1, 0.0, stratum)
    return rest[train], rest[val], tested.nonzero().flatten()


# {% endif %}
def divide(
    keys: Tensor, val: float, test: float, strata: Sequence[Any] | Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of a training, validation and test split, in ascending order.

    `keys` are hashes of the samples, int64 (samples,): a sample stays in its split if others are
    added or taken away, but for the few at a border. Samples with the same key (copies, or the rows
    of one group) stay together. `val` and `test` are shares of the samples, and of each of the
    `strata`, the classes for instance; every stratum has at least one sample in each split if it
    has as many keys as splits. A key of several strata is in the first of them.
    """
    # {% if cookiecutter.task in cookiecutter._uses.folds %}
    if FOLD.total:
        return divide_by_fold(keys, test, strata)
    # {% endif %}
    return divide_by_shares(keys, val, test, first_strata(keys, strata))


def divide_by_shares(
    keys: Tensor, val: float, test: float, stratum: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of splits that are shares of each stratum: (samples,); see `divide`."""
    sizes = [len(keys)] if stratum is None else stratum.bincount().tolist()
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for indices in sort_keys(keys, stratum).split(sizes):
        for part, chosen in zip(parts, cut(indices, keys[indices], val, test), strict=True):
            part.append(chosen)
    train, validation, rest = (torch.cat(part).sort().values for part in parts)
    return train, validation, rest


def first_strata(keys: Tensor, strata: Sequence[Any] | Tensor | None) -> Tensor | None:
    """Return the stratum of each sample, (samples,): the first one of its key."""
    if strata is None:
        return None
    _, numbers = keys.unique(return_inverse=True)
    stratum = number_strata(strata)
    first = torch.zeros_like(keys)
    first.scatter_reduce_(0, numbers, stratum, "amin", include_self=False)
    return first[numbers]


def sort_keys(keys: Tensor, stratum: Tensor | None) -> Tensor:
    """Return the indices that sort samples by their strata, and by keys in each of these."""
    order = keys.argsort(stable=True)
    return order if stratum is None else order[stratum[order].argsort(stable=True)]


def number_strata(strata: Sequence[Any] | Tensor) -> Tensor:
    """Return the number of the stratum of each sample, int64 (samples,); they may be numbers."""
    if isinstance(strata, Tensor):
        return strata.long()
    names = list(map(str, strata))
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return torch.tensor([numbers[name] for name in names], dtype=torch.int64)


def cut(indices: Tensor, keys: Tensor, val: float, test: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cut samples in the order of their keys into train, val and test, between unlike keys."""
    begins = (keys[1:] != keys[:-1]).numpy()  # whether each sample but the first has a new key
    needed = int(val > 0) + int(test > 0)
    if begins.sum() < needed:
        return indices, indices[:0], indices[:0]
    end_val = 0
    if val:
        last = len(begins) - 1 - int(begins[::-1].argmax())
        end_val = find_border(begins[:last] if test else begins, val * len(keys))
    end_test = end_val
    if test:
        end_test += find_border(begins[end_val:], test * len(keys))
    return indices[end_test:], indices[:end_val], indices[end_val:end_test]


def find_border(begins: numpy.ndarray, wanted: float) -> int:
    """Return the number of samples before the new key that is nearest to `wanted` samples."""
    start = min(max(math.ceil(wanted) - 1, 0), len(begins))
    after = start + int(begins[start:].argmax()) + 1 if begins[start:].any() else math.inf
    if not begins[:start].any():
        return int(after)
    before = start - int(begins[:start][::-1].argmax())
    return int(min(before, after, key=lambda border: abs(border - wanted)))
# {% if cookiecutter.task in cookiecutter._uses.split_indices %}


def split_indices(samples: int, val: float, test: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of random splits; `val` and `test` are shares of the samples."""
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(0))
    # {% if cookiecutter.task in cookiecutter._uses.folds %}
    if FOLD.total:
        return divide(order, val, test)
    # {% endif %}
    val_samples = int(val * samples)
    test_samples = int(test * samples)
    train, validation, rest = order.split(
        [samples - val_samples - test_samples, val_samples, test_samples]
    )
    return train, validation, rest
# {% endif %}
