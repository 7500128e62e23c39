"""Predictions for new texts: the class of each, and the probability of every class."""

import sys
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from .datasets import encode
from .engine.errors import UserError
from .engine.input_files import find_files
from .engine.prediction import describe_metrics, find_output
from .engine.result_table import FEW_INPUTS, ResultTable, as_cells
from .engine.runtime import Runtime
from .engine.tables import SUFFIXES as TABLE_SUFFIXES
from .engine.tables import Table, open_table
from .engine.terminal import say
from .engine.texts import TEXT_SUFFIXES, as_texts, compose, read_text
from .utils import get_metrics

TABLES = {suffix for suffix in TABLE_SUFFIXES if not suffix.startswith(".txt")}
STANDARD_INPUT = "-"
CHUNK = 4096  # texts that are made tokens of together


class Text(NamedTuple):
    """A text, and where it is from."""

    file: str
    row: str  # of a table, or a line of standard input
    text: str
    label: str = ""  # the name of its class, if that is known


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    add = parser.add_argument
    help = (
        "text file, table, folder of them, or pattern; - reads standard input, a text per line. "
        "A column of labels, or folders with the names of classes, make metrics"
    )
    add("inputs", nargs="+", metavar="INPUT", help=help)
    help = "columns of tables, of which the second may be missing; by default as in training"
    add("--columns", nargs=2, metavar=("TEXT", "LABEL"), default=None, help=help)


class Inputs:
    """Texts: `for texts, tokens in inputs` gives batches of them in their order.

    What cannot be read, and what has no text, is reported, skipped and counted in `failed`.
    """

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.args = args
        self.runtime = runtime
        self.info = info
        self.failed = 0
        self.text_column, self.label_column = args.columns or info["columns"]
        self.sources: list[Any] = []  # tables, paths of texts, STANDARD_INPUT
        for name in args.inputs:
            if name == STANDARD_INPUT:
                self.sources.append(name)
                continue
            for path in find_files(self.args, [name], TEXT_SUFFIXES | TABLES):
                self.add(path)
        if not self.sources:
            raise UserError("none of the inputs could be read")
        self.has_labels = any(map(self.is_labelled, self.sources))
        self.has_lines = STANDARD_INPUT in self.sources

    def add(self, path: Path) -> None:
        """Add a file; a table that cannot be read is reported, or an error if it is alone."""
        if not path.name.lower().endswith(tuple(TABLES)):
            self.sources.append(path)
            return
        try:
            self.sources.append(self.open(path))
        except UserError as error:
            if self.args.inputs == [str(path)]:
                raise
            self.report(str(error))

    def open(self, path: Path) -> Table:
        """Return a table. Raises UserError if it has no column of texts."""
        columns = [self.text_column, self.label_column]
        table = open_table(path, has_header=not all(name.isdecimal() for name in columns))
        if self.text_column not in table.columns:
            found = textwrap.shorten(", ".join(table.columns), 100)
            raise UserError(
                f"{path}, row 1: no column {self.text_column!r}; --columns names that of the "
                f"texts first, one of {found}"
            )
        return table

    def is_labelled(self, source: Any) -> bool:
        """Return whether the texts of a table or a file have labels."""
        if isinstance(source, Table):
            return self.label_column in source.columns
        return isinstance(source, Path) and get_class(source) in self.info["classes"]

    def report(self, problem: str) -> None:
        """Count what cannot be used, and print the first problems."""
        self.failed += 1
        if self.failed <= FEW_INPUTS:
            say(f"warning: skipped: {problem}", sys.stderr)

    def __iter__(self) -> Iterator[tuple[list[Text], Tensor]]:
        size = self.args.batch_size
        chunk = 1 if self.has_lines and sys.stdin.isatty() else CHUNK
        count = 0
        total = None if self.has_lines else sum(map(count_texts, self.sources))
        with tqdm(total=total, unit="text", leave=False, disable=None) as bar:
            texts = self.read()
            while some := list(islice(texts, chunk)):
                tokens = encode([text.text for text in some], self.info)  # (texts, length)
                missing = self.info["length"] - tokens.shape[1]
                tokens = F.pad(tokens, (0, missing), value=self.info["padding"])
                for start in range(0, len(some), size):
                    batch = tokens[start : start + size]
                    yield some[start : start + size], batch.to(self.runtime.device)
                    bar.update(len(batch))
                count += len(some)
        if self.failed > FEW_INPUTS:
            say(f"warning: {self.failed:,} texts or files were skipped in all", sys.stderr)
        if not count:
            raise UserError("none of the inputs holds a text that can be read")

    def read(self) -> Iterator[Text]:
        """Yield all texts."""
        for source in self.sources:
            if source == STANDARD_INPUT:
                yield from read_lines()
            elif isinstance(source, Table):
                yield from self.read_table(source)
            else:
                yield from self.read_file(source)

    def read_table(self, table: Table) -> Iterator[Text]:
        """Yield the texts of a table."""
        for part in table.parts():
            texts = as_texts(part[self.text_column])
            labels = texts.map(lambda _: "")
            if self.is_labelled(table):
                labels = as_texts(part[self.label_column])
            for row, text, label in zip(part.index, texts, labels, strict=True):
                if text:
                    yield Text(str(table.path), str(row), text, label)
                else:
                    self.report(f"{table.path}, row {row}: no text")

    def read_file(self, path: Path) -> Iterator[Text]:
        """Yield the text of a file."""
        try:
            text = read_text(path)
        except UserError as error:
            self.report(str(error))
            return
        if text:
            yield Text(str(path), "", text, get_class(path) if self.has_labels else "")
        else:
            self.report(f"{path} is empty")


def get_class(path: Path) -> str:
    """Return the name of the folder that a file is in."""
    return compose(path.absolute().parent.name)


def count_texts(source: Any) -> int:
    """Return the number of texts in a table or a file."""
    return source.length if isinstance(source, Table) else 1


def read_lines() -> Iterator[Text]:
    """Yield the lines of standard input that are not blank. Raises UserError if one is no UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise UserError(f"standard input, line {number}: not UTF-8") from None
        if text:
            yield Text(STANDARD_INPUT, str(number), text)


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the probabilities of the classes, (batch, classes)."""
    with runtime.autocast():
        logits = model(tokens)
    return logits.float().softmax(dim=1)


class Output(ResultTable):
    """A table with a row for each text; if there are labels, metrics as well.

    The results of few texts, and those of standard input, are printed.
    """

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        self.inputs = inputs
        self.classes = inputs.info["classes"]
        self.numbers = {name: number for number, name in enumerate(self.classes)}
        self.metrics: Any = None  # slow to import
        if inputs.has_labels:
            self.metrics = get_metrics(args, runtime, inputs.info)
        self.measured = 0  # texts with a label
        self.shown = inputs.has_lines or sum(map(count_texts, inputs.sources)) <= FEW_INPUTS
        columns = ["file", "row", "class", "probability"]
        if inputs.has_labels:
            columns.append("label")
        columns += [f"p_{name}" for name in self.classes]
        super().__init__(find_output(args, "predictions.csv"), columns)

    def add(self, texts: list[Text], probabilities: Tensor) -> None:
        """Write the rows of a batch."""
        best = probabilities.argmax(dim=1).tolist()
        for text, number, cells in zip(texts, best, as_cells(probabilities), strict=True):
            row = [text.file, text.row, self.classes[number], cells[number]]
            if self.inputs.has_labels:
                row.append(text.label)
            self.add_row(row + cells)
            if self.shown:
                start = textwrap.shorten(text.text, 80, placeholder=" ...")
                say(f"{self.classes[number]}  {cells[number]}  {start}")
        labels = torch.tensor([self.numbers.get(text.label, -1) for text in texts])
        is_known = labels >= 0
        if is_known.any():
            self.measured += int(is_known.sum())
            device = probabilities.device
            self.metrics.update(probabilities[is_known.to(device)], labels[is_known].to(device))

    def summary(self) -> str:
        """Return what was written, and the metrics."""
        text = f"{self.rows:,} predictions: {self.path}"
        if not self.measured:
            return text
        missing = self.rows - self.measured
        without = f" ({missing:,} texts have no label that the training knows)" if missing else ""
        return f"{text}; {describe_metrics(self.metrics)}{without}"
