"""Predictions for the rows of tables: a number in the target's own unit, or a class."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .engine.batch import to_device
from .engine.cells import read_numbers
from .engine.encoding import encode_rows, encode_targets, unflatten
from .engine.errors import UserError
from .engine.input_files import find_files
from .engine.prediction import describe_metrics, find_output, writing_text
from .engine.runtime import Runtime
from .engine.tables import SUFFIXES, Table, open_table
from .engine.terminal import say
from .utils import get_metrics

if TYPE_CHECKING:  # slow to import
    from pandas import DataFrame

FEW_ROWS = 20  # rows whose predictions are printed, too, and problems


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    help = "table (CSV, TSV or Parquet), folder of tables, or pattern; a target makes metrics"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=help)
    parser.set_defaults(batch_size=4096)  # rows are small


class Inputs:
    """The rows of tables: `for rows, batch in inputs` gives them in parts, encoded for a model.

    The columns may be in another order than in training, and there may be further ones. A table
    without a needed column, and rows with a cell of another form, are reported, skipped and counted
    in `failed`.
    """

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.args = args
        self.runtime = runtime
        self.info = info
        self.failed = 0
        self.unknown = torch.zeros(len(info["categories"]), dtype=torch.int64)  # of each column
        self.tables = []
        paths = find_files(args, args.inputs, SUFFIXES)
        for path in paths:
            try:
                self.tables.append(self.open(path))
            except UserError as error:
                if len(paths) == 1:
                    raise
                self.report(str(error))
        if not self.tables:
            raise UserError("none of the tables can be read")
        self.columns = list(dict.fromkeys(name for table in self.tables for name in table.columns))
        used = {*info["numbers"], *info["categories"], info["target"]}
        ignored = [name for name in self.columns if name not in used]
        if ignored:
            say(f"columns that the model does not use: {', '.join(ignored)}", sys.stderr)

    def open(self, path: Path) -> Table:
        """Return a table. Raises UserError if it lacks a column."""
        table = open_table(path)
        missing = []
        for name in (*self.info["numbers"], *self.info["categories"]):
            if name not in table.columns:
                missing.append(repr(name))
        if missing:
            raise UserError(
                f"{path}, row 1: no column {', '.join(missing)}, which the model needs; "
                f"there is {', '.join(table.columns)}"
            )
        return table

    def report(self, problem: str) -> None:
        """Count what cannot be read, and print the first problems."""
        self.failed += 1
        if self.failed <= FEW_ROWS:
            say(f"warning: skipped: {problem}", sys.stderr)

    def __len__(self) -> int:
        return sum(table.length for table in self.tables)

    def __iter__(self) -> Iterator[tuple[DataFrame, tuple[Tensor, Tensor]]]:
        encoded = 0
        with tqdm(total=len(self), unit="row", leave=False, disable=None) as bar:
            for table in self.tables:
                for part in table.parts():
                    for start in range(0, len(part), self.args.batch_size):
                        rows = part.iloc[start : start + self.args.batch_size]
                        bar.update(len(rows))
                        rows, batch = self.encode(table.path, rows)
                        if len(rows):
                            encoded += len(rows)
                            yield rows, to_device(batch, self.runtime.device)
        self.report_all()
        if not encoded:
            raise UserError("none of the rows could be read")

    def encode(self, path: Path, rows: DataFrame) -> tuple[DataFrame, tuple[Tensor, Tensor]]:
        """Return rows and their tensors, without those that cannot be read."""
        try:
            numbers, categories = encode_rows(rows, self.info)
        except UserError:
            rows = self.drop_wrong(path, rows)
            numbers, categories = encode_rows(rows, self.info)
        if len(self.tables) > 1:
            rows = rows.assign(file=str(path))
        self.unknown += (categories == 0).sum(dim=0)
        return rows, (numbers, categories)

    def drop_wrong(self, path: Path, rows: DataFrame) -> DataFrame:
        """Return the rows without those that have a cell of another form."""
        dropped = numpy.zeros(len(rows), dtype=bool)
        for name, reading in self.info["readings"].items():
            _, is_wrong = read_numbers(rows[name], unflatten(reading))
            for index in (is_wrong & ~dropped).nonzero()[0].tolist():
                cell = rows[name].iloc[index]
                self.report(f"{path}, row {rows.index[index]}: {name} is {cell!r}, unlike training")
            dropped |= is_wrong
        return rows[~dropped]

    def report_all(self) -> None:
        """Print how many rows were skipped, if not all were named, and unknown categories."""
        if self.failed > FEW_ROWS:
            say(f"warning: {self.failed:,} rows or tables were skipped in all", sys.stderr)
        counts = []
        for name, count in zip(self.info["categories"], self.unknown.tolist(), strict=True):
            if count:
                counts.append(f"{name} {count:,}")
        if counts:
            say(f"categories that the training does not have: {', '.join(counts)}", sys.stderr)


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Any) -> Tensor:
    """Return the model's outputs: standardized numbers or logits, (batch, outputs)."""
    numbers, categories = batch
    with runtime.autocast():
        outputs = model(numbers, categories)
    return outputs.float()


class Output(ExitStack):
    """A table with all columns of the input and the predictions; if there are targets, metrics."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        super().__init__()
        self.info = inputs.info
        self.rows = 0
        self.metrics: Any = None  # slow to import
        if self.info["target"] in inputs.columns:
            self.metrics = get_metrics(args, runtime, self.info)
        self.measured = 0  # rows with a target
        self.few = len(inputs) <= FEW_ROWS
        self.name = f"predicted_{self.info['target']}"
        columns = ["file"] if len(inputs.tables) > 1 else []
        own = [self.name]
        if "classes" in self.info:
            own += ["probability", *(f"p_{name}" for name in self.info["classes"])]
        self.columns = columns + [name for name in inputs.columns if name not in [*columns, *own]]
        replaced = [name for name in inputs.columns if name in [*columns, *own]]
        if replaced:
            say(f"columns of the input that are not kept: {', '.join(replaced)}", sys.stderr)
        self.path = find_output(args, "predictions.csv")
        self.file = self.enter_context(writing_text(self.path))

    def add(self, rows: DataFrame, outputs: Tensor) -> None:
        """Write the rows of a batch; those with a target count in the metrics."""
        import pandas

        if "classes" in self.info:
            outputs = outputs.softmax(dim=1)
            cells = self.describe_classes(outputs.cpu())
        else:
            outputs = outputs.squeeze(1)
            cells = {self.name: self.describe_numbers(outputs.cpu())}
        predicted = pandas.DataFrame(cells, index=rows.index)
        inputs = rows.reindex(columns=self.columns)
        whole = pandas.concat([inputs, predicted], axis=1)
        whole.to_csv(self.file, header=not self.rows, index=False, lineterminator="\n")
        if self.few:
            say(predicted.iloc[:, :2].to_string(header=not self.rows))
        self.rows += len(rows)
        if self.info["target"] in rows.columns:
            self.measure(rows, outputs)

    def measure(self, rows: DataFrame, outputs: Tensor) -> None:
        """Count the rows that have a target in the metrics."""
        targets, is_known = encode_targets(rows[self.info["target"]], self.info)
        if is_known.any():
            self.measured += int(is_known.sum())
            device = outputs.device
            self.metrics.update(outputs[is_known.to(device)], targets[is_known].to(device))

    def describe_numbers(self, outputs: Tensor) -> Any:
        """Return numbers in the target's unit as texts, as exact as float32: (rows,)."""
        mean, deviation = self.info["mean"], self.info["deviation"]
        digits = 7 + max(0, math.ceil(math.log10(max(abs(mean), deviation) / deviation)))
        values = outputs.double().numpy() * deviation + mean
        return numpy.char.mod(f"%.{digits}g", values)

    def describe_classes(self, probabilities: Tensor) -> dict[str, Any]:
        """Return the columns of the class of each row and of the probabilities, (rows, classes)."""
        best = probabilities.argmax(dim=1)
        texts = numpy.char.mod("%.7g", probabilities.numpy())
        columns = {self.name: numpy.array(self.info["classes"], dtype=object)[best.numpy()]}
        columns["probability"] = texts[range(len(best)), best.numpy()]
        for number, name in enumerate(self.info["classes"]):
            columns[f"p_{name}"] = texts[:, number]
        return columns

    def summary(self) -> str:
        """Return what was written, and the metrics."""
        unit = ""
        if "classes" not in self.info:
            unit = unflatten(self.info["target_reading"]).unit
        text = f"{self.rows:,} predictions of {self.info['target']}"
        text = f"{text} in {unit}: {self.path}" if unit else f"{text}: {self.path}"
        if self.measured < 2:
            return text
        missing = self.rows - self.measured
        without = f" ({missing:,} rows have no target that the training knows)" if missing else ""
        return f"{text}; {describe_metrics(self.metrics)}{without}"
