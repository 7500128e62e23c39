"""The training, validation and test splits: windows of text, as tokens."""

import sysconfig
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .engine.errors import UserError
from .engine.loader import InMemory

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` holds the vocabulary

# A token is a byte of UTF-8. The vocabulary has the text of each token; half a character is an
# escape, which `decode` puts together with the other half.
VOCABULARY = [bytes([value]).decode("utf-8", "surrogateescape") for value in range(256)]


def encode(text: str) -> Tensor:
    """Return the tokens of a text, (tokens,), in the smallest integer type that holds them."""
    return torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8)


def decode(tokens: list[int], vocabulary: list[str]) -> str:
    """Return the text of tokens; incomplete characters become �."""
    text = "".join(vocabulary[token] for token in tokens)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def shift(batch: tuple[Tensor, ...], noise: Tensor, *, context: int) -> tuple[Tensor, ...]:
    """Cut a window of `context` tokens out of each stretch of twice as many, at random."""
    (stretches,) = batch  # (batch, 2 * context)
    start = (noise[:, :1] * context).long()  # (batch, 1)
    windows = stretches.gather(1, start + torch.arange(context + 1, device=start.device))
    return windows[:, :-1], windows[:, 1:]  # inputs and targets, (batch, context) each


def in_memory(args: Namespace, texts: list[str], source: Path | str) -> Splits:
    """Cut the texts of train, val and test into windows of --context tokens; targets are one later.

    Raises UserError if a text is too short.
    """
    context = args.context
    info = {"vocabulary": VOCABULARY}
    splits = []
    for name, text in zip(("train", "val", "test"), texts, strict=True):
        tokens = encode(text) if text else torch.empty(0)
        if len(tokens) < 2 * context:
            raise UserError(
                f"{source}: the {name} text of {len(tokens)} tokens is too short for two windows "
                f"of --context {context}"
            )
        if args.augment and name == "train":
            stretches = tokens.unfold(0, 2 * context, context)
            cut = partial(shift, context=context)
            splits.append(InMemory(stretches, info=info, augment=cut, noise_columns=1))
        else:
            windows = tokens.unfold(0, context + 1, context)  # the last target starts the next one
            splits.append(InMemory(windows[:, :-1], windows[:, 1:], info=info))
    train, val, test = splits
    return train, val, test


def split(documents: list[str]) -> list[str]:
    """Return the texts of train, val and test, 8:1:1: by documents, or by length if under ten.

    Documents are divided at random, in the same way for every --seed.
    """
    if len(documents) < 10:
        text = "\n".join(documents)
        size = len(text) // 10
        border = len(text) - 2 * size
        return [text[:border], text[border : border + size], text[border + size :]]
    size = len(documents) // 10
    order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(0))
    texts = []
    for part in (order[2 * size :], order[:size], order[size : 2 * size]):
        texts.append("\n".join(documents[index] for index in part.tolist()))
    return texts


def read(path: Path) -> str:
    """Return a text file. Raises UserError if it cannot be read, is empty, or is not UTF-8."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, byte {error.start}: not UTF-8, {error.reason}") from None
    if not text:
        raise UserError(f"{path} is empty")
    return text


def asyncio(args: Namespace) -> Splits:
    """Return source code: the files of asyncio in Python's standard library, split by files."""
    folder = Path(sysconfig.get_path("stdlib"), "asyncio")
    paths = sorted(folder.glob("*.py"))
    if len(paths) < 10:
        raise UserError(f"this Python has no sources in {folder}; use --dataset text")
    return in_memory(args, split([read(path) for path in paths]), folder)


def text(args: Namespace) -> Splits:
    """Return own text: train.txt, val.txt and test.txt in --data-dir, or files to be split."""
    folder = args.data_dir
    splits = [folder / f"{name}.txt" for name in ("train", "val", "test")]
    if all(path.exists() for path in splits):
        return in_memory(args, [read(path) for path in splits], folder)
    if not folder.is_dir():
        return in_memory(args, split([read(folder)]), folder)
    paths = find_files(folder)
    if not paths:
        raise UserError(f"--data-dir {folder} holds no files")
    if len(paths) == 2 and set(paths) < set(splits):
        names = " and ".join(path.name for path in paths)
        raise UserError(f"--data-dir {folder} has only {names}: one of the splits is missing")
    return in_memory(args, split([read(path) for path in paths]), folder)


def find_files(folder: Path) -> list[Path]:
    """Return the files in a folder, at any depth, that are not hidden."""
    paths = []
    for path in sorted(folder.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            paths.append(path)
    return paths


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "asyncio": asyncio,
    "text": text,
}
