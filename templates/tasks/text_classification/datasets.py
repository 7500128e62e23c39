"""The training, validation and test splits: texts as word numbers, and their classes."""

import ast
import re
import sysconfig
import textwrap
import zlib
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .engine.errors import UserError
from .engine.loader import InMemory
from .engine.splits import split_list
from .engine.tables import read_csv

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the texts
Row = tuple[str, str]  # text, label

WORD = re.compile(r"\w+|[^\w\s]")  # a token: a word, or a single sign
MAX_VOCABULARY = 30_000  # the most frequent words; all others are unknown
PADDING = 0  # word numbers that every vocabulary begins with
UNKNOWN = 1


def augment(batch: tuple[Tensor, ...], noise: Tensor) -> tuple[Tensor, ...]:
    """Make a fifth of the words unknown, so that no single one decides (word dropout).

    Iyyer et al. 2015, https://aclanthology.org/P15-1162, leave these words out.
    """
    tokens, labels = batch  # (batch, length), (batch,)
    dropped = (noise < 0.2) & (tokens != PADDING)
    return tokens.masked_fill(dropped, UNKNOWN), labels


def in_memory(args: Namespace, splits: list[list[Row]], classes: list[str]) -> Splits:
    """Return splits in memory; their words are numbered by the vocabulary of the training split."""
    texts = []
    for rows in splits:
        texts.append([tokenize(text)[: args.max_length] for text, _ in rows])
    length = max(len(words) for words in texts[0])
    vocabulary = get_vocabulary(texts[0])
    info = {"classes": classes, "vocabulary": vocabulary, "padding": PADDING, "length": length}
    datasets = []
    for words, rows in zip(texts, splits, strict=True):
        labels = torch.tensor([classes.index(label) for _, label in rows])  # (texts,)
        datasets.append(InMemory(encode(words, vocabulary, length), labels, info=info))
    train, val, test = datasets
    if args.augment:
        train = InMemory(*train.tensors, info=info, augment=augment, noise_columns=length)
    return train, val, test


def tokenize(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return WORD.findall(text.lower())


def get_vocabulary(texts: list[list[str]]) -> list[str]:
    """Return the words that occur more than once, the most frequent first, by their numbers."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    frequent = [word for word, count in counts.most_common(MAX_VOCABULARY) if count > 1]
    return ["", "<unknown>", *frequent]


def encode(texts: list[list[str]], vocabulary: list[str], length: int) -> Tensor:
    """Return the numbers of the words of each text, cut or padded to a length: (texts, length)."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    tokens = torch.full((len(texts), length), PADDING, dtype=torch.int32)
    for row, words in enumerate(texts):
        known = [numbers.get(word, UNKNOWN) for word in words[:length]]
        tokens[row, : len(known)] = torch.tensor(known)
    return tokens


TOPICS = {  # modules and packages of Python's standard library by their purpose
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors subprocess threading",
    "files": "_pyio bz2 filecmp fileinput fnmatch glob gzip lzma ntpath os pathlib posixpath "
    "shutil tarfile tempfile zipfile",
    "internet": "email ftplib http imaplib ipaddress mailbox poplib smtplib socket socketserver "
    "ssl urllib wsgiref xmlrpc",
    "language": "_collections_abc abc ast collections contextlib copy dataclasses dis enum "
    "functools importlib inspect operator pkgutil runpy symtable tokenize traceback types typing "
    "warnings weakref",
    "numbers": "_pydatetime _pydecimal bisect calendar colorsys datetime fractions heapq numbers "
    "random statistics zoneinfo",
    "testing": "bdb cProfile doctest pdb profile pstats timeit trace tracemalloc unittest",
    "text": "argparse cmd codecs configparser csv difflib gettext html json locale optparse "
    "plistlib pprint re shlex string textwrap tomllib xml",
}


def docstrings(args: Namespace) -> Splits:
    """Return about 4,500 docstrings of Python's standard library; the class is the module's topic.

    The checksum of a docstring chooses its split (validation and test have a tenth each), so that
    it is the same in every version of Python that has it.
    """
    library = Path(sysconfig.get_path("stdlib"))
    topics: dict[str, str] = {}  # by docstring, each of which counts once
    for topic, modules in TOPICS.items():
        for path in find_sources(library, modules.split()):
            for text in find_docstrings(path):
                topics.setdefault(text, topic)
    if len(topics) < 2000:
        raise UserError(
            f"{library} has only {len(topics)} docstrings: this Python came without its sources"
        )
    splits: list[list[Row]] = [[], [], []]
    for checksum, text in sorted((zlib.crc32(text.encode()), text) for text in topics):
        tenth = checksum % 10
        splits[tenth if tenth in (1, 2) else 0].append((text, topics[text]))
    return in_memory(args, splits, list(TOPICS))


def find_sources(library: Path, modules: list[str]) -> list[Path]:
    """Return the source files of modules and packages, without those of their tests."""
    paths = []
    for module in modules:
        for path in sorted([*library.glob(f"{module}.py"), *library.glob(f"{module}/**/*.py")]):
            if "test" not in path.relative_to(library).parts:
                paths.append(path)
    return paths


def find_docstrings(path: Path) -> list[str]:
    """Return the docstrings of five words or more of a module, its classes and its functions."""
    texts = []
    nodes: list[ast.AST] = [ast.parse(path.read_bytes())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if len(text.split()) >= 5:
                texts.append(text)
            nodes.extend(node.body)
    return texts


def csv_files(args: Namespace) -> Splits:
    """Return own texts: train, val and test in --data-dir, or one file to split 8:1:1.

    They are .csv or .tsv files. Without a validation file, a tenth of the training texts validates.
    """
    files = {path.stem: path for path in sorted(args.data_dir.glob("*.[ct]sv"))}
    if {"train", "test"} <= files.keys():
        train = read_rows(args, files["train"])
        classes = sorted({label for _, label in train})
        test = read_rows(args, files["test"], classes)
        if "val" in files:
            val = read_rows(args, files["val"], classes)
        else:
            train, val, _ = split_list(train, val=0.1, test=0.0)
    elif len(files) == 1:
        rows = read_rows(args, next(iter(files.values())))
        classes = sorted({label for _, label in rows})
        train, val, test = split_list(rows, val=0.1, test=0.1)
    else:
        found = ", ".join(path.name for path in files.values()) or "none"
        raise UserError(
            f"--data-dir {args.data_dir} needs train and test as .csv or .tsv, or one file; "
            f"found {found}"
        )
    return in_memory(args, [train, val, test], classes)


def read_rows(args: Namespace, path: Path, classes: list[str] | None = None) -> list[Row]:
    """Return the text and the label of each row of a file.

    Columns that are given by number are those of a file without a header. Raises UserError with the
    row that cannot be read, is not complete, or has a label that is not among `classes`.
    """
    names = (args.text_column, args.label_column)
    has_header = not all(name.isdecimal() for name in names)
    if path.suffix == ".tsv":
        header, table, numbers = read_csv(path, "\t", has_header, quotes=False)
    else:
        header, table, numbers = read_csv(path, ",", has_header)
    for option, name in zip(("--text-column", "--label-column"), names, strict=True):
        if name not in header:
            found = textwrap.shorten(", ".join(header), 100)
            raise UserError(f"{path}, row 1: {option} {name} is not among the columns {found}")
    text_column, label_column = (header.index(name) for name in names)
    rows = []
    for cells, number in zip(table, numbers, strict=True):
        text = cells[text_column]
        label = cells[label_column]
        if not text or not label:
            raise UserError(f"{path}, row {number}: the {'label' if text else 'text'} is empty")
        if classes is not None and label not in classes:
            raise UserError(
                f"{path}, row {number}: the label {label!r} does not occur in the training file"
            )
        rows.append((text, label))
    labels = {label for _, label in rows}
    if classes is None and not 1 < len(labels) <= len(rows) // 2:
        raise UserError(
            f"{path}: {len(labels)} different labels in {len(rows)} rows; is --label-column right?"
        )
    return rows


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "docstrings": docstrings,
    "csv": csv_files,
}
