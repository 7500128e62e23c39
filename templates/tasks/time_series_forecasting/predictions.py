"""Forecasts of time series: the steps after the end of a table, in the units of the data."""

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .engine.cells import Form, Reading
from .engine.errors import UserError
from .engine.input_files import find_files
from .engine.prediction import find_output
from .engine.result_table import FEW_INPUTS, ResultTable
from .engine.runtime import Runtime
from .engine.series import Columns, read_columns
from .engine.tables import SUFFIXES, Table, open_table
from .engine.terminal import say
from .engine.times import Times, continue_times, write_times


class Piece(NamedTuple):
    """The end of a series, from which its next steps are forecast."""

    name: str  # of the series, or ""
    times: list[str]  # of the steps that are forecast
    mean: Tensor  # of each channel in training, float64 (channels,)
    std: Tensor
    past: Tensor  # standardized, float32 (context, channels)
    future: Tensor  # of the known channels, float32 (horizon, known)


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the input of the command line."""
    parser.usage = "%(prog)s [options] RUN TABLE"
    help = "table of the series, whose next steps are forecast; known columns go on below its end"
    parser.add_argument("input", metavar="TABLE", help=help)


class Inputs:
    """The ends of the series of a table: `for pieces, batch in inputs` gives batches of them.

    Series that cannot be forecast are reported, skipped and counted in `failed`.
    """

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.args = args
        self.runtime = runtime
        self.info = info
        self.failed = 0
        paths = find_files(args, [args.input], SUFFIXES)
        if len(paths) > 1:
            raise UserError(f"{args.input} holds {len(paths)} tables; give one of them")
        self.table = open_table(paths[0])
        self.columns = self.find_columns(self.table)
        readings = {}
        for name, (*form, decimal) in info["source"].get("readings", {}).items():
            readings[name] = Reading(Form(*form), decimal)
        self.series = read_columns(self.table, self.columns, self.table.length, readings)
        for note in self.series.notes:
            say(f"note: {note}", sys.stderr)

    def find_columns(self, table: Table) -> Columns:
        """Return the columns of the training. Raises UserError if the table lacks one."""
        source, channels = self.info["source"], self.info["channels"]
        time = source.get("time", table.columns[0])
        series = source.get("series", "")
        columns = [time, *channels] + ([series] if series else [])
        missing = [repr(name) for name in columns if name not in table.columns]
        if missing:
            raise UserError(
                f"{table.path}, row 1: no column {', '.join(missing)}, which the model needs; "
                f"there is {', '.join(table.columns)}"
            )
        ignored = [name for name in table.columns if name not in columns]
        if ignored:
            say(f"columns that the model does not use: {', '.join(ignored)}", sys.stderr)
        targets, known = self.info["targets"], self.info["known"]
        inputs = channels[len(targets) : len(channels) - len(known)]
        return Columns(time, series, targets, inputs, known)

    def __iter__(self) -> Iterator[tuple[list[Piece], list[Tensor]]]:
        names = self.series.names or [""]
        pieces = []
        start = 0
        for name, length in zip(names, self.series.lengths, strict=True):
            try:
                pieces.append(self.cut(name, start, length))
            except UserError as error:
                if len(names) == 1:
                    raise
                say(f"warning: skipped: {error}", sys.stderr)
                self.failed += 1
            start += length
        if not pieces:
            raise UserError(f"{self.table.path}: none of the series can be forecast")
        for first in range(0, len(pieces), self.args.batch_size):
            some = pieces[first : first + self.args.batch_size]
            batch = [torch.stack([piece.past for piece in some])]
            if self.info["known"]:
                batch.append(torch.stack([piece.future for piece in some]))
            yield some, [tensor.to(self.runtime.device) for tensor in batch]

    def cut(self, name: str, start: int, length: int) -> Piece:
        """Return the end of a series. Raises UserError if it cannot be forecast."""
        where = f"{self.table.path}: {name}" if name else str(self.table.path)
        context, horizon = self.info["context"], self.info["horizon"]
        mean, std = self.find_scale(where, name)
        values = self.series.values[start : start + length]  # (rows, channels)
        assert self.series.times is not None
        times = replace(self.series.times, values=self.series.times.values[start : start + length])
        is_given = ~values[:, : len(self.info["targets"])].isnan().all(dim=1)
        end = 1 + int(is_given.nonzero()[-1]) if is_given.any() else 0
        if end < context:
            raise UserError(f"{where}: {end} rows with a target, and the model needs {context}")
        past, future = values[end - context : end], values[end:][:horizon]
        self.check_missing(where, past, times, end - context)
        known = len(self.info["known"])
        future = future[:, len(self.info["channels"]) - known :]
        if known and (len(future) < horizon or future.isnan().any()):
            whole = int((~future.isnan().any(dim=1)).cumprod(dim=0).sum())
            raise UserError(
                f"{where}: {whole} rows after {times.describe(end - 1)}, the last one with a "
                f"target, have {', '.join(self.info['known'])}; the model needs {horizon}"
            )
        past = ((past - mean) / std).float()
        future = ((future - mean[-known:]) / std[-known:]).float() if known else future
        return Piece(name, self.find_times(times, end), mean, std, past, future)

    def find_scale(self, where: str, name: str) -> tuple[Tensor, Tensor]:
        """Return the mean and deviation of a series in training, (channels,) both.

        Raises UserError if the training did not have it: nobody knows its scale.
        """
        mean, std = self.info["mean"].double(), self.info["std"].double()
        if not name:
            return mean, std
        if name not in self.info["series"]:
            raise UserError(f"{where} is no series of the training, which gives mean and deviation")
        number = self.info["series"].index(name)
        if (mean[number] == 0).all() and (std[number] == 1).all():
            raise UserError(f"{where} was too short in training to give mean and deviation")
        return mean[number], std[number]

    def check_missing(self, where: str, past: Tensor, times: Times, first: int) -> None:
        """Raise UserError if a value is missing in what a forecast is made from."""
        for row, channel in past.isnan().nonzero()[:1].tolist():
            raise UserError(
                f"{where}: {self.info['channels'][channel]} is missing at "
                f"{times.describe(first + row)}, in the last {len(past)} rows with a target"
            )

    def find_times(self, times: Times, end: int) -> list[str]:
        """Return the times of the steps after row `end`: those of the table, then the next ones."""
        horizon = self.info["horizon"]
        given = write_times(replace(times, values=times.values[end : end + horizon]))
        return given + write_times(continue_times(times, horizon - len(given)))


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return standardized forecasts, (series, horizon, targets)."""
    with runtime.autocast():
        forecasts = model(*batch)
    return forecasts.float()


class Output(ResultTable):
    """A table with the columns of the input: a row for each step of each series."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        self.info = inputs.info
        self.series = 0
        columns = [inputs.columns.series] if inputs.columns.series else []
        columns += [inputs.columns.time, *self.info["targets"]]
        steps = len(inputs.series.lengths) * self.info["horizon"]
        printed = len(columns) if steps <= FEW_INPUTS else 0
        super().__init__(find_output(args, "predictions.csv"), columns, printed)

    def add(self, pieces: list[Piece], forecasts: Tensor) -> None:
        """Write the forecasts of some series in the units of the data."""
        targets = len(self.info["targets"])
        for piece, forecast in zip(pieces, forecasts.double().cpu(), strict=True):
            values = forecast * piece.std[:targets] + piece.mean[:targets]  # (horizon, targets)
            digits = count_digits(piece.mean[:targets], piece.std[:targets])
            for time, row in zip(piece.times, values.tolist(), strict=True):
                cells = [piece.name, time] if piece.name else [time]
                for value, number in zip(row, digits, strict=True):
                    cells.append(f"{value:.{number}g}")
                self.add_row(cells)
            self.series += 1

    def summary(self) -> str:
        """Return what was written."""
        return f"{self.info['horizon']} steps of {self.series:,} series: {self.path}"


def count_digits(mean: Tensor, std: Tensor) -> list[int]:
    """Return the digits to write for each target, so that it is as exact as float32."""
    digits = []
    for one, other in zip(mean.abs().tolist(), std.tolist(), strict=True):
        digits.append(7 + math.ceil(math.log10(max(one / other, 1))))
    return digits
