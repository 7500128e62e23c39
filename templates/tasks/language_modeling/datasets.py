"""The training, validation and test splits that --dataset chooses from: windows of text, as tokens."""

import sysconfig
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from loader import InMemory
from runtime import UserError

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; the `info` of each holds the vocabulary

VOCABULARY = [bytes([value]) for value in range(256)]  # what each token stands for: a text is a row of bytes


def encode(text: bytes) -> Tensor:
    """Return the tokens of a text, in the smallest type that holds them; the objective makes them int64."""
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)


def shift(batch: list[Tensor], numbers: Tensor, *, context: int) -> list[Tensor]:
    """Cut a window out of each stretch, twice as long, from a place that the first of its numbers tells."""
    (stretches,) = batch  # (batch, 2 * context)
    start = (numbers[:, :1] * context).long()  # (batch, 1)
    windows = stretches.gather(1, start + torch.arange(context + 1, device=start.device))
    return [windows[:, :-1], windows[:, 1:]]  # inputs and targets, (batch, context) each


def as_windows(args: Namespace, texts: list[bytes], source: Path | str) -> Splits:
    """Cut the texts of train, val and test into windows of `--context` inputs and as many targets, one token later."""
    context, info = args.context, {"vocabulary": VOCABULARY}
    for part, text in zip(("train", "val", "test"), texts, strict=True):
        if len(text) < 2 * context:
            raise UserError(
                f"{source}: {len(text)} bytes for {part} are too short for two windows of --context {context}"
            )
    tokens = [encode(text) for text in texts]
    windows = [part.unfold(0, context + 1, context) for part in tokens]  # a window's last target begins the next one
    train, val, test = [InMemory(part[:, :-1], part[:, 1:], info=info) for part in windows]
    if args.augment:
        stretches = tokens[0].unfold(0, 2 * context, context)
        train = InMemory(stretches, info=info, augment=partial(shift, context=context), noise=1)
    return train, val, test


def split(documents: list[bytes]) -> list[bytes]:
    """Return the texts of train, val and test: 8:1:1 of at least ten documents by a seed, of fewer by their length."""
    if len(documents) < 10:
        text = b"\n".join(documents)
        size = len(text) // 10
        return [text[: len(text) - 2 * size], text[len(text) - 2 * size : len(text) - size], text[len(text) - size :]]
    order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(0)).tolist()
    tenth = len(order) // 10
    parts = (order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth])
    return [b"\n".join(documents[index] for index in part) for part in parts]


def read(path: Path) -> bytes:
    """Return the bytes of a text file, which must be UTF-8 and not empty."""
    try:
        data = path.read_bytes()
        data.decode()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, byte {error.start}: not UTF-8, {error.reason}") from None
    if not data:
        raise UserError(f"{path} is empty")
    return data


def asyncio(args: Namespace) -> Splits:
    """Source code that comes with Python: the files of its package asyncio, split by whole files."""
    folder = Path(sysconfig.get_path("stdlib"), "asyncio")
    paths = sorted(folder.glob("*.py"))
    if len(paths) < 10:
        raise UserError(f"this Python comes without its sources in {folder}; use --dataset text")
    return as_windows(args, split([read(path) for path in paths]), folder)


def text(args: Namespace) -> Splits:
    """Own text in UTF-8: DIR/train.txt, DIR/val.txt and DIR/test.txt, or one file or a folder of them, to be split."""
    folder = args.data_dir
    parts = [folder / f"{part}.txt" for part in ("train", "val", "test")]
    if all(path.exists() for path in parts):
        return as_windows(args, [read(path) for path in parts], folder)
    inside = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path for path in inside if not any(name.startswith(".") for name in path.relative_to(folder).parts)]
    if folder.is_dir() and not paths:
        raise UserError(f"--data-dir {folder} holds no files")
    if len(paths) == 2 and set(paths) < set(parts):
        raise UserError(
            f"--data-dir {folder} has only {paths[0].name} and {paths[1].name}: one of the splits is missing"
        )
    return as_windows(args, split([read(path) for path in paths or [folder]]), folder)


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "asyncio": asyncio,
    "text": text,
}
