"""The training, validation and test splits that --dataset chooses from: texts as numbered words, and their classes."""

import ast
import csv
import io
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
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from loader import InMemory
from runtime import UserError

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; the `info` of each names the classes and the words
Rows = list[tuple[str, str]]  # (text, label)

WORD = re.compile(r"\w+|[^\w\s]")  # what a text is cut into: words and single signs
LARGEST_VOCABULARY = 30_000  # the most frequent words; the rest are unknown, and so are those that occur only once
PADDING, UNKNOWN = 0, 1  # the first two numbers of every vocabulary


def augment(batch: list[Tensor], numbers: Tensor) -> list[Tensor]:
    """Make a fifth of the words unknown, so that no single one decides.

    Iyyer et al. 2015, https://aclanthology.org/P15-1162; they leave the words out.
    """
    tokens, labels = batch  # (batch, length), (batch,)
    return [tokens.masked_fill((numbers < 0.2) & (tokens != PADDING), UNKNOWN), labels]


def in_memory(args: Namespace, train: Rows, val: Rows, test: Rows, classes: list[str]) -> Splits:
    """Hold the three splits in memory, with their words numbered by the vocabulary of the first."""
    train_words, val_words, test_words = (
        [WORD.findall(text.lower())[: args.max_length] for text, _ in rows] for rows in (train, val, test)
    )
    counts = Counter(word for words in train_words for word in words).most_common(LARGEST_VOCABULARY)
    vocabulary = ["", "<unknown>", *(word for word, count in counts if count > 1)]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    length = max(len(words) for words in train_words)

    def tensors(texts: list[list[str]], rows: Rows) -> tuple[Tensor, Tensor]:
        known = [torch.tensor([numbers.get(word, UNKNOWN) for word in words], dtype=torch.int32) for words in texts]
        tokens = pad_sequence(known, batch_first=True, padding_value=PADDING)
        tokens = F.pad(tokens, (0, length - tokens.shape[1]), value=PADDING)  # or cut, where that is negative
        return tokens, torch.tensor([classes.index(label) for _, label in rows])  # (texts, length), (texts,)

    info = {"classes": classes, "vocabulary": vocabulary}
    return (
        InMemory(*tensors(train_words, train), info=info, augment=augment if args.augment else None, noise=length),
        InMemory(*tensors(val_words, val), info=info),
        InMemory(*tensors(test_words, test), info=info),
    )


TOPICS = {  # modules and packages of Python's standard library by what they are for
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors subprocess threading",
    "files": "_pyio bz2 filecmp fileinput fnmatch glob gzip lzma ntpath os pathlib posixpath shutil tarfile tempfile "
    "zipfile",
    "internet": "email ftplib http imaplib ipaddress mailbox poplib smtplib socket socketserver ssl urllib wsgiref "
    "xmlrpc",
    "language": "_collections_abc abc ast collections contextlib copy dataclasses dis enum functools importlib inspect "
    "operator pkgutil runpy symtable tokenize traceback types typing warnings weakref",
    "numbers": "_pydatetime _pydecimal bisect calendar colorsys datetime fractions heapq numbers random statistics "
    "zoneinfo",
    "testing": "bdb cProfile doctest pdb profile pstats timeit trace tracemalloc unittest",
    "text": "argparse cmd codecs configparser csv difflib gettext html json locale optparse plistlib pprint re shlex "
    "string textwrap tomllib xml",
}


def docstrings(args: Namespace) -> Splits:
    """About 4,500 docstrings of Python's own library, read from its sources; the class is what their module is for.

    Whether a docstring is to train, to validate (a tenth) or to test (a tenth) depends on its words alone, so that it
    is the same in every version of Python that has it.
    """
    library = Path(sysconfig.get_path("stdlib"))
    topics: dict[str, str] = {}  # by docstring, each of which counts once
    for topic, modules in TOPICS.items():
        for module in modules.split():
            for path in sorted([*library.glob(f"{module}.py"), *library.glob(f"{module}/**/*.py")]):
                if "test" not in path.parts[len(library.parts) :]:
                    for text in find_docstrings(ast.parse(path.read_bytes())):
                        topics.setdefault(text, topic)
    if len(topics) < 2000:
        raise UserError(f"{library} has only {len(topics)} docstrings: this Python came without its sources")
    parts: tuple[Rows, Rows, Rows] = [], [], []
    for checksum, text in sorted((zlib.crc32(text.encode()), text) for text in topics):
        tenth = checksum % 10
        parts[tenth if tenth in (1, 2) else 0].append((text, topics[text]))
    return in_memory(args, *parts, list(TOPICS))


def find_docstrings(tree: ast.Module) -> list[str]:
    """Return the docstrings of a module, its classes and its functions that have at least five words."""
    texts: list[str] = []
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            texts.append(ast.get_docstring(node) or "")
            nodes.extend(node.body)
    return [text for text in texts if len(text.split()) >= 5]


def csv_files(args: Namespace) -> Splits:
    """Own texts: DIR/train.csv, DIR/val.csv and DIR/test.csv, or one file in DIR, to be split 8:1:1 by a fixed seed.

    Without a val.csv, a tenth of train.csv is to validate. A file .tsv is cut at tabs instead, and has no quotes.
    """
    files = {path.stem: path for path in sorted(args.data_dir.glob("*.[ct]sv"))}
    if {"train", "test"} <= files.keys():
        train = read_rows(files["train"], args)
        classes = sorted({label for _, label in train})
        test = read_rows(files["test"], args, classes)
        val, train = (read_rows(files["val"], args, classes), train) if "val" in files else split(train, 1)
    elif len(files) == 1:
        rows = read_rows(next(iter(files.values())), args)
        classes = sorted({label for _, label in rows})
        val, test, train = split(rows, 2)
    else:
        found = ", ".join(path.name for path in files.values()) or "none"
        raise UserError(f"--data-dir {args.data_dir} needs train and test as .csv or .tsv, or one file; found {found}")
    return in_memory(args, train, val, test, classes)


def split(rows: Rows, tenths: int) -> list[Rows]:
    """Return that many tenths of the rows, drawn with a fixed seed, and the rest."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    tenth = max(len(rows) // 10, 1)
    sizes = [tenth] * tenths + [len(rows) - tenths * tenth]
    return [[rows[index] for index in part.tolist()] for part in order.split(sizes)]


def read_rows(path: Path, args: Namespace, classes: list[str] | None = None) -> Rows:
    """Read text and label of every row, which counts from the header as row 1.

    Raises:
        UserError: A row cannot be read, is not complete, or has a label that is not among `classes`.
    """
    try:
        content = path.read_bytes()
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: this is not UTF-8; save the file in that encoding") from None
    if path.suffix == ".tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, strict=True)
    try:
        table = [(number, row) for number, row in enumerate(reader, start=1) if row]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from None
    if not table:
        raise UserError(f"{path} is empty")

    columns = {"--text-column": args.text_column, "--label-column": args.label_column}
    numbered = all(name.isdecimal() for name in columns.values())  # there is no header then
    header = [str(number) for number in range(1, len(table[0][1]) + 1)] if numbered else table.pop(0)[1]
    for option, name in columns.items():
        if name not in header:
            found = textwrap.shorten(", ".join(header), 100)
            raise UserError(f"{path}, row 1: {option} {name} is not among the columns {found}")
    rows = []
    for number, row in table:
        if len(row) != len(header):
            raise UserError(f"{path}, row {number}: {len(row)} columns instead of {len(header)}")
        text, label = (row[header.index(name)].strip() for name in columns.values())
        if not text or not label:
            raise UserError(f"{path}, row {number}: the {'label' if text else 'text'} is empty")
        if classes is not None and label not in classes:
            raise UserError(f"{path}, row {number}: the label {label!r} does not occur in the training file")
        rows.append((text, label))
    different = len({label for _, label in rows})
    if classes is None and not 1 < different <= len(rows) // 2:
        raise UserError(f"{path}: {different} different labels in {len(rows)} rows; is --label-column right?")
    return rows


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "docstrings": docstrings,
    "csv": csv_files,
}
