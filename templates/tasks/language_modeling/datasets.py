"""The training, validation and test splits: windows of text, as tokens."""

import sysconfig
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .engine.errors import UserError, refuse_unused
from .engine.loader import InMemory
from .engine.texts import find_texts
from .engine.tokenizer import get_tokenizer, learn_subwords
from .engine.tokens import get_file_tokenizer, map_tokens

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` holds the vocabulary

VOCABULARY_SIZE = 1024  # of --tokenizer bpe: 256 bytes, and the parts of words that are learned


def shift(batch: tuple[Tensor, ...], noise: Tensor, *, context: int) -> tuple[Tensor, ...]:
    """Cut a window of `context` tokens out of each stretch of twice as many, at random."""
    (stretches,) = batch  # (batch, 2 * context)
    start = (noise[:, :1] * context).long()  # (batch, 1)
    windows = stretches.gather(1, start + torch.arange(context + 1, device=start.device))
    return windows[:, :-1], windows[:, 1:]  # inputs and targets, (batch, context) each


def cut_windows(args: Namespace, split: str, tokens: Tensor) -> tuple[Tensor, ...]:
    """Cut the tokens of a split, (tokens,), into windows of --context; targets are one later.

    Training windows that `shift` will cut are stretches of twice as many. Raises UserError if the
    tokens are too few.
    """
    context = args.context
    if len(tokens) < 2 * context:
        raise UserError(
            f"--dataset {args.dataset}: the {split} text of {len(tokens)} tokens is too short for "
            f"two windows of --context {context}"
        )
    if args.augment and split == "train":
        return (tokens.unfold(0, 2 * context, context),)
    windows = tokens.unfold(0, context + 1, context)  # the last target starts the next one
    return windows[:, :-1], windows[:, 1:]


def add_shift(args: Namespace, train: InMemory) -> None:
    """Let `shift` cut the training windows, unless --no-augment is given."""
    if args.augment:
        train.augment = partial(shift, context=args.context)
        train.noise_columns = 1


def in_memory(args: Namespace, texts: list[str]) -> Splits:
    """Return the windows of three texts: train, val and test."""
    tokenizer = get_tokenizer(args, partial(learn_subwords, texts[:1], VOCABULARY_SIZE))
    info = {"vocabulary": tokenizer.vocabulary, "tokenizer": tokenizer.saved}
    info["window"] = args.context
    splits = []
    for name, text in zip(("train", "val", "test"), texts, strict=True):
        tokens = tokenizer.encode(text)
        splits.append(InMemory(*cut_windows(args, name, tokens), info=info))
    add_shift(args, splits[0])
    return splits[0], splits[1], splits[2]


def split_documents(documents: list[str]) -> list[str]:
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


def asyncio(args: Namespace) -> Splits:
    """Return source code: the files of asyncio in Python's standard library, split by files."""
    refuse_unused(args, "data_dir", dataset="asyncio")
    folder = Path(sysconfig.get_path("stdlib"), "asyncio")
    documents = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))]
    if len(documents) < 10:
        raise UserError(f"this Python has no sources in {folder}; use --dataset text")
    return in_memory(args, split_documents(documents))


def text(args: Namespace) -> Splits:
    """Return own text in files, of any size: their tokens lie in a file that is mapped."""
    texts, notes = find_texts(args.data_dir)
    tokenizer = get_file_tokenizer(args, texts["train"], VOCABULARY_SIZE)
    info = {"vocabulary": tokenizer.vocabulary, "tokenizer": tokenizer.saved}
    info |= {"window": args.context, "notes": notes}
    splits = []
    for name, pieces in texts.items():
        tokens = map_tokens(args, pieces, tokenizer)
        splits.append(InMemory(*cut_windows(args, name, tokens), info=info))
    add_shift(args, splits[0])
    return splits[0], splits[1], splits[2]


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "asyncio": asyncio,
    "text": text,
}
