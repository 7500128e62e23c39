"""The training, validation and test splits that --dataset chooses from: windows of time series, in order of time."""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from loader import InMemory
from runtime import UserError

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; the `info` of each tells of the channels


def in_memory(args: Namespace, series: Tensor, channels: list[str], source: str) -> Splits:
    """Split a series, (time, channels), 6:2:2 in order of time, scale it by its first part, and cut it into windows.

    A window has --context steps and the --horizon steps after them; the next one begins one step later. Those to
    validate and to test may look back over the border of their part, and so forecast it from its very first step on.
    """
    borders = [0, len(series) * 6 // 10, len(series) * 8 // 10, len(series)]
    need = args.context + args.horizon
    shortest = min(borders[1] - args.context, borders[2] - borders[1], borders[3] - borders[2])
    if shortest < args.horizon:
        raise UserError(
            f"{source}: {len(series)} rows, split 6:2:2, are too few for --context {args.context} and "
            f"--horizon {args.horizon}"
        )
    deviation, mean = torch.std_mean(series[: borders[1]], dim=0, correction=0)
    deviation[deviation == 0] = 1  # a channel of one value stays at 0
    scaled = ((series - mean) / deviation).float()
    info = {"channels": channels, "context": args.context, "mean": mean.float(), "deviation": deviation.float()}
    train, val, test = [
        InMemory(scaled[max(start - args.context, 0) : end].unfold(0, need, 1).transpose(1, 2), info=info)  # a view
        for start, end in pairwise(borders)
    ]
    return train, val, test  # each of (windows, context + horizon, channels)


def seasons(args: Namespace) -> Splits:
    """5,000 hours of five drawn channels: a trend, a drift, days that differ over the week, and noise."""
    random = torch.Generator().manual_seed(0)
    hours, count = torch.arange(5000.0).unsqueeze(1), 5  # (time, 1)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=random)  # one number for each channel

    def wave(period: float) -> Tensor:
        return torch.cos(2 * math.pi * (hours / period + uniform(0, 1)))  # (time, channels)

    day = uniform(0.8, 1.2) * wave(24) + uniform(0.2, 0.6) * wave(12)
    week = 1 + uniform(0.2, 0.6) * wave(168)
    trend = uniform(-2, 2) * hours / len(hours)
    drift = 0.02 * torch.randn(len(hours), count, generator=random).cumsum(dim=0)
    noise = 0.3 * torch.randn(len(hours), count, generator=random)
    series = uniform(20, 200) + uniform(2, 20) * (day * week + trend + drift + noise)
    return in_memory(args, series.double(), [f"channel {number}" for number in range(1, count + 1)], "seasons")


def read_csv(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return header, rows and their numbers of a file of UTF-8 text; commas, semicolons or tabs part its cells."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, row {number}: {data[error.start]:#x} is not UTF-8; save the file as UTF-8") from None
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for cells in filter(None, reader):  # no empty lines
            rows.append([cell.strip() for cell in cells])
            numbers.append(reader.line_num)
            if len(cells) != len(rows[0]):
                raise UserError(f"{path}, row {numbers[-1]}: {len(cells)} cells, but the header has {len(rows[0])}")
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: {error}") from None
    if len(rows) < 2:
        raise UserError(f"{path} is empty: it needs a header and rows below it")
    return rows[0], rows[1:], numbers[1:]


def as_time(text: str) -> float:
    """Turn a number, or a date as in 2016-07-01 13:00:00, into a number that grows with time; else NaN."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def as_number(text: str) -> float:
    """Return the finite number that a cell holds, else NaN."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def csv_file(args: Namespace) -> Splits:
    """Own data, or the ETT files of Zhou et al. 2021: the time in the first column, a channel in each other one."""
    path = args.data_dir
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if len(files) != 1:
            raise UserError(f"{path} holds {len(files)} CSV files; name one, as in --data-dir {path}/ETTh1.csv")
        path = files[0]
    header, rows, numbers = read_csv(path)
    rows = rows[: args.rows or None]
    before = -math.inf
    for number, cells in zip(numbers, rows, strict=False):
        time = as_time(cells[0])
        if math.isnan(time):
            raise UserError(f"{path}, row {number}: {cells[0]!r} is no time; write 2016-07-01 13:00:00, or a number")
        if time <= before:
            raise UserError(f"{path}, row {number}: {cells[0]} is not after the row before; sort the rows by time")
        before = time
    series = torch.tensor([[as_number(cell) for cell in cells[1:]] for cells in rows], dtype=torch.float64)
    for row, column in series.isnan().nonzero()[:1].tolist():
        cell = rows[row][column + 1]
        raise UserError(f"{path}, row {numbers[row]}: {header[column + 1]} is {cell!r}, not a number")
    if not series.shape[1]:
        raise UserError(f"{path}, row 1: there is no column beside the time")
    return in_memory(args, series, header[1:], str(path))


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "seasons": seasons,
    "csv": csv_file,
}
