"""What a checkpoint means: the data that it was trained on, beside the shapes of its weights."""

import json
from argparse import Namespace
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .errors import UserError
from .files import replacing
from .run_dir import find_weights

TRAIN_KEYS = "train_samples.npy"
INITIAL_KEYS = "initial_samples.npy"  # of the runs before, from whose weights --init-from started
LONGEST = 60  # characters of a value in a message
MOST_NAMED = 6  # weights in a note
ENCODINGS = {"vocabulary", "tokenizer"}  # what the numbers in the model's input mean
REPORTED = {"notes", "class_counts"}  # what `info` tells about the files, and no model depends on
REPORTED |= {"columns", "window", "horizon", "source", "mask_format"}


def check_model(saved: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise UserError if a checkpoint is of another model than `config`, or of another size."""
    if saved["name"] != config["name"]:
        raise UserError(f"the checkpoint is of --model {saved['name']}, not of {config['name']}")
    difference = find_difference(saved["arguments"], config["arguments"])
    if difference:
        name, before, now = difference
        raise UserError(f"the checkpoint's model has {name} {before}, this run's {now}")


def check_info(saved: dict[str, Any], info: dict[str, Any], other_data: bool) -> None:
    """Compare the `info` of a checkpoint's data with that of the data here.

    Other classes, another order of them or another normalization would give wrong results without
    another sign. Raises UserError that names the first difference, unless `other_data` allows it,
    which cannot make sense of another vocabulary.
    """
    difference = find_difference(saved, info)
    if difference and (difference[0] in ENCODINGS or not other_data):
        name, before, now = difference
        remedy = "" if name in ENCODINGS else "; --other-data uses them all the same"
        raise UserError(
            f"these data are not those of the checkpoint: {name} is {now}, and was {before} "
            f"in training{remedy}"
        )


def describe_fit(
    path: Path, weights: dict[str, Tensor], own: dict[str, Tensor], number: int
) -> list[str]:
    """Return notes of the weights of a checkpoint that a model takes, and of those it cannot."""
    notes = [f"{number:,} of {len(own):,} tensors start from {path}"]
    other = []
    for name, value in own.items():
        if name in weights and weights[name].shape != value.shape:
            shapes = f"{tuple(weights[name].shape)}, here {tuple(value.shape)}"
            other.append(f"{name} {shapes}")
    missing = [name for name in own if name not in weights]
    unused = [name for name in weights if name not in own]
    for what, names in (
        ("left fresh, of another shape", other),
        ("left fresh, not in the checkpoint", missing),
        ("not used, not in the model", unused),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
            notes.append(f"{what}: {'; '.join(names[:MOST_NAMED])}{more}")
    return notes


def describe_other_data(saved: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """Return a note of the first difference between the data of a checkpoint and those here."""
    difference = find_difference(saved["info"], config["info"])
    if not difference:
        return []
    name, before, now = difference
    return [f"the weights were trained on other data: {name} was {before}, and is {now} here"]


def find_difference(saved: dict[str, Any], here: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the name of a value that differs, and both in short; ENCODINGS come first."""
    names = (saved.keys() | here.keys()) - REPORTED
    for name in sorted(names, key=lambda name: (name not in ENCODINGS, name)):
        if name not in saved or name not in here or not is_same(saved[name], here[name]):
            return name, *shorten_both(write(saved.get(name)), write(here.get(name)))
    return None


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values of `info` are equal, apart from the rounding of numbers."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape:
            return False
        return torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-7, equal_nan=True)
    if isinstance(one, float) and isinstance(other, float):
        return is_same(torch.tensor(one), torch.tensor(other))
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return False
        return all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return False
        return all(is_same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def write(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, Tensor):
        value = value.flatten().tolist()
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return str(value)


def shorten_both(one: str, other: str) -> tuple[str, str]:
    """Return two texts for a message: of long ones, the part where they begin to differ."""
    same = 0  # letters at their beginning
    for letter, other_letter in zip(one, other, strict=False):
        if letter != other_letter:
            break
        same += 1
    start = max(same - LONGEST // 3, 0)
    parts = []
    for text in (one, other):
        part = text[start : start + LONGEST]
        before = "..." if start else ""
        after = "..." if len(text) > start + LONGEST else ""
        parts.append(f"{before}{part}{after}")
    return parts[0], parts[1]


# ----------------------------------------------------------------------------------- the samples


def hash_names(names: Iterable[str]) -> Tensor:
    """Return a key of 8 bytes for each name: int64 (names,)."""
    keys = []
    for name in names:
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        keys.append(int.from_bytes(digest, "little", signed=True))
    return torch.tensor(keys, dtype=torch.int64)


def get_keys(dataset: Any) -> Tensor | None:
    """Return the keys of the samples of a data set that has `names` or `keys`: int64 (samples,)."""
    names = getattr(dataset, "names", None)
    return getattr(dataset, "keys", None) if names is None else hash_names(names)


def write_keys(folder: Path, dataset: Any, init_from: Path | None = None) -> None:
    """Write the sorted keys of the training samples beside the checkpoints.

    A run that is resumed with --other-data has also been trained on those that it had before, and
    the weights of `init_from` on those of its run, which get a file of their own.
    """
    add_keys(folder / TRAIN_KEYS, get_keys(dataset))
    if init_from is not None:
        add_keys(folder / INITIAL_KEYS, read_all_keys(find_weights(init_from).parent))


def add_keys(path: Path, keys: Tensor | None) -> None:
    """Write keys to a file, sorted, together with those that it has."""
    if keys is not None:
        known = read_keys(path)
        if known is not None:
            keys = torch.cat((known, keys)).unique()
        with replacing(path) as temporary, temporary.open("wb") as file:
            numpy.save(file, keys.sort().values.numpy())


def read_keys(path: Path) -> Tensor | None:
    """Return the keys that `add_keys` has written, or None if there are none."""
    try:
        return torch.from_numpy(numpy.load(path))
    except (OSError, ValueError, EOFError):
        return None


def read_all_keys(folder: Path) -> Tensor | None:
    """Return the keys of all samples that the checkpoints in a folder were trained on, if known."""
    found = [read_keys(folder / name) for name in (TRAIN_KEYS, INITIAL_KEYS)]
    known = [keys for keys in found if keys is not None]
    return torch.cat(known).unique() if known else None


def check_samples(args: Namespace, run_dir: Path, data: str, train: Any, test: Any) -> str:
    """Compare the samples with those of the run that is resumed or evaluated; return a warning.

    It is empty if all is well. Samples without keys are compared by their number: `data` is what
    run.json tells about them. Raises UserError if a run to resume had others, or if a test sample
    was trained on, unless --other-data allows it.
    """
    if args.init_from:
        check_initial_samples(args, find_weights(args.init_from).parent, train, test)
    if args.evaluate:
        run_dir = args.evaluate.resolve().parent.parent
    if compare_keys(args, run_dir / "checkpoints", train, test):
        return ""
    try:
        known = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError):  # not a run, or one without a start
        return ""
    before = str(known).partition("samples: ")[2]
    now = data.partition("samples: ")[2]
    if before == now or args.other_data:
        return ""
    text = f"the samples are {now}, and were {before} when the run was started"
    if args.resume:
        raise UserError(f"{text}; --other-data continues all the same")
    return f"{text}; some that are tested may have been trained on"


def compare_keys(args: Namespace, folder: Path, train: Any, test: Any) -> bool:
    """Compare the samples with those that the checkpoints in a folder were trained on.

    Returns whether both are known. Raises UserError if a test sample was trained on, or if other
    samples than before would be trained on, unless --other-data allows it.
    """
    keys, test_keys = get_keys(train), get_keys(test)
    known = read_keys(folder / TRAIN_KEYS)
    if known is None or keys is None or test_keys is None:
        return False
    if args.other_data:
        return True
    check_tested(read_all_keys(folder), keys, test_keys, test)
    added = int((~torch.isin(keys, known)).sum())
    missing = int((~torch.isin(known, keys)).sum())
    if args.resume and (added or missing):
        raise UserError(
            f"the training split has {added:,} new samples and lacks {missing:,} of those that it "
            "had when the run was started; --other-data continues all the same"
        )
    return True


def check_initial_samples(args: Namespace, folder: Path, train: Any, test: Any) -> None:
    """Raise UserError if the weights of --init-from were trained on a test sample."""
    keys, test_keys = get_keys(train), get_keys(test)
    if keys is not None and test_keys is not None and not args.other_data:
        check_tested(read_all_keys(folder), keys, test_keys, test)


def check_tested(known: Tensor | None, keys: Tensor, test_keys: Tensor, test: Any) -> None:
    """Raise UserError if a test sample was trained on before and is not in the training split."""
    if known is None:
        return
    leaked = torch.isin(test_keys, known) & ~torch.isin(test_keys, keys)
    for index in leaked.nonzero().flatten().tolist()[:1]:
        name = test.names[index] if hasattr(test, "names") else f"number {index}"
        raise UserError(
            f"test sample {name} was trained on, one of {int(leaked.sum()):,} such samples of "
            f"{len(leaked):,}; --other-data uses them all the same"
        )
