"""The training, validation and test splits: texts as tokens, and their classes."""

import re
from argparse import Namespace
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .engine.classes import count_classes
from .engine.docstrings import TOPICS, read_docstrings
from .engine.errors import refuse_unused
from .engine.identity import hash_names
from .engine.loader import InMemory
from .engine.splits import describe_absent
from .engine.texts import LabelledText, arrange_splits, read_folders, read_tables
from .engine.tokenizer import decode, get_tokenizer, learn_subwords, load_tokenizer

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the texts

WORD = re.compile(r"\w+|[^\w\s]")  # a token of --tokenizer words: a word, or a single sign
MAX_WORDS = 30_000  # the most frequent words; all others are unknown
MAX_SUBWORDS = 8192  # tokens of --tokenizer bpe
PADDING = 0  # tokens that every vocabulary begins with
UNKNOWN = 1
RESERVED = ["", "<unknown>"]  # their texts


def augment(batch: tuple[Tensor, ...], noise: Tensor) -> tuple[Tensor, ...]:
    """Make a fifth of the tokens unknown, so that no single one decides (word dropout).

    Iyyer et al. 2015, https://aclanthology.org/P15-1162, leave these words out.
    """
    tokens, labels = batch  # (batch, length), (batch,)
    dropped = (noise < 0.2) & (tokens != PADDING)
    return tokens.masked_fill(dropped, UNKNOWN), labels


def in_memory(
    args: Namespace, splits: list[list[LabelledText]], classes: list[str], notes: Iterable[str] = ()
) -> Splits:
    """Return splits in memory; their tokens are numbered by the vocabulary of the training split.

    A text has as many tokens as the longest of the training split, at most --max-length.
    """
    info: dict[str, Any] = {"classes": classes, "padding": PADDING, "length": args.max_length}
    info |= get_vocabulary(args, [text for text, _ in splits[0]])
    info["columns"] = args.columns
    info |= {"notes": list(notes), "class_counts": {}}
    numbers = {name: number for number, name in enumerate(classes)}
    datasets = []
    for name, rows in zip(("train", "val", "test"), splits, strict=True):
        texts = [text for text, _ in rows]
        labels = torch.tensor([numbers[label] for _, label in rows], dtype=torch.int64)  # (texts,)
        tokens = encode(texts, info)
        if name == "train":
            info["length"] = tokens.shape[1]
        tokens = F.pad(tokens, (0, info["length"] - tokens.shape[1]), value=info["padding"])
        info["class_counts"][name] = count_classes(labels, classes)
        datasets.append(InMemory(tokens, labels, info=info))
        datasets[-1].keys = hash_names(texts)
    info["notes"] += describe_absent(info["class_counts"])
    train, val, test = datasets
    if args.augment:
        train.augment = augment
        train.noise_columns = info["length"]
    return train, val, test


def get_vocabulary(args: Namespace, texts: list[str]) -> dict[str, Any]:
    """Return the "tokenizer" of `info` and its "vocabulary": the text of each token."""
    if args.tokenizer != "words":
        tokenizer = get_tokenizer(args, partial(learn_subwords, texts, MAX_SUBWORDS))
        return {"tokenizer": tokenizer.saved, "vocabulary": [*RESERVED, *tokenizer.vocabulary]}
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_words(text, args.max_length))
    frequent = [word for word, count in counts.most_common(MAX_WORDS) if count > 1]
    return {"tokenizer": "words", "vocabulary": [*RESERVED, *frequent]}


def split_words(text: str, length: int) -> list[str]:
    """Return the first words of a text, in lower case."""
    return [match.group() for match in islice(WORD.finditer(text.lower()), length)]


def tokenize(texts: list[str], info: dict[str, Any]) -> Iterator[list[int]]:
    """Yield the tokens of each text, at most info["length"]."""
    length = info["length"]
    if info["tokenizer"] == "words":
        numbers = {word: number for number, word in enumerate(info["vocabulary"])}
        for text in texts:
            yield [numbers.get(word, UNKNOWN) for word in split_words(text, length)]
        return
    tokenizer = load_tokenizer(info["tokenizer"])
    for tokens in tokenizer.encode_each(texts):
        yield [len(RESERVED) + token for token in tokens[:length]]


def encode(texts: list[str], info: dict[str, Any]) -> Tensor:
    """Return the tokens of texts for a model, padded to the longest: int32 (texts, length).

    A text has at most info["length"] tokens, and at least one: an empty one is unknown.
    """
    tokens = array("i")
    lengths = []
    for numbers in tokenize(texts, info):
        tokens.extend(numbers or [UNKNOWN])
        lengths.append(len(numbers) or 1)
    is_token = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    padded = torch.full(is_token.shape, PADDING, dtype=torch.int32)
    return padded.masked_scatter_(is_token, torch.frombuffer(tokens, dtype=torch.int32))


def join_tokens(tokens: list[int], info: dict[str, Any]) -> str:
    """Return the text of tokens, without padding."""
    tokens = [token for token in tokens if token != info["padding"]]
    if info.get("tokenizer", "words") == "words":
        return " ".join(info["vocabulary"][token] for token in tokens)
    return decode(tokens, info["vocabulary"])


def docstrings(args: Namespace) -> Splits:
    """Return about 4,500 docstrings of Python's standard library; the class is their topic."""
    refuse_unused(args, "data_dir", "columns", "group_column")
    return in_memory(args, read_docstrings(), list(TOPICS))


def csv_files(args: Namespace) -> Splits:
    """Return the texts and labels in own tables: --data-dir is one, or holds one or the splits."""
    return in_memory(args, *arrange_splits(*read_tables(args)))


def text_folder(args: Namespace) -> Splits:
    """Return own text files: --data-dir holds SPLIT/CLASS/*.txt, or CLASS/*.txt to divide 8:1:1."""
    refuse_unused(args, "columns", "group_column")
    return in_memory(args, *arrange_splits(*read_folders(args)))


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "docstrings": docstrings,
    "csv": csv_files,
    "text_folder": text_folder,
}
