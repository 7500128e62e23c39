"""The training, validation and test splits: windows of time series, in order of time."""

import math
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from .engine.errors import UserError
from .engine.loader import InMemory
from .engine.tables import as_number, read_csv

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the series


def in_memory(args: Namespace, series: Tensor, channels: list[str], source: str) -> Splits:
    """Split a series (time, channels) 6:2:2 in order of time, and cut it into standardized windows.

    A window has --context steps and the --horizon steps after them; the next one begins one step
    later. Validation and test windows may look back over the border of their split, so that its
    very first steps are forecast as well. Mean and deviation are those of the training split.
    Raises UserError if the series is too short; `source` names it.
    """
    borders = [0, len(series) * 6 // 10, len(series) * 8 // 10, len(series)]
    length = args.context + args.horizon
    shortest = min(borders[1] - args.context, borders[2] - borders[1], borders[3] - borders[2])
    if shortest < args.horizon:
        raise UserError(
            f"{source}: {len(series)} rows, split 6:2:2, are too few "
            f"for --context {args.context} and --horizon {args.horizon}"
        )
    std, mean = torch.std_mean(series[: borders[1]], dim=0, correction=0)
    std[std == 0] = 1  # a channel of one value stays at 0
    scaled = ((series - mean) / std).float()
    info = {
        "channels": channels,
        "context": args.context,
        "mean": mean.float(),
        "std": std.float(),
    }
    splits = []
    for start, end in pairwise(borders):
        part = scaled[max(start - args.context, 0) : end]
        windows = part.unfold(0, length, 1).transpose(1, 2)  # a view: windows share their memory
        splits.append(InMemory(windows, info=info))  # (windows, context + horizon, channels)
    train, val, test = splits
    return train, val, test


def seasons(args: Namespace) -> Splits:
    """Return 5,000 hours of five random channels: a trend, a drift, days, weeks and noise."""
    generator = torch.Generator().manual_seed(0)
    hours = torch.arange(5000.0).unsqueeze(1)  # (time, 1)
    count = 5

    def uniform(low: float, high: float) -> Tensor:
        """Return a number for each channel."""
        return low + (high - low) * torch.rand(count, generator=generator)

    def wave(period: float) -> Tensor:
        """Return a cosine with a random phase for each channel, (time, channels)."""
        return torch.cos(2 * math.pi * (hours / period + uniform(0, 1)))

    day = uniform(0.8, 1.2) * wave(24) + uniform(0.2, 0.6) * wave(12)
    week = 1 + uniform(0.2, 0.6) * wave(168)
    trend = uniform(-2, 2) * hours / len(hours)
    drift = 0.02 * torch.randn(len(hours), count, generator=generator).cumsum(dim=0)
    noise = 0.3 * torch.randn(len(hours), count, generator=generator)
    series = uniform(20, 200) + uniform(2, 20) * (day * week + trend + drift + noise)
    channels = [f"channel {number}" for number in range(1, count + 1)]
    return in_memory(args, series.double(), channels, source="seasons")


def csv_file(args: Namespace) -> Splits:
    """Return own data, e.g. the ETT data of Zhou et al. 2021, https://arxiv.org/abs/2012.07436.

    The first column is the time, each other one a channel.
    """
    path = args.data_dir
    if path.is_dir():
        files = sorted(path.glob("*.csv"))
        if len(files) != 1:
            raise UserError(
                f"{path} holds {len(files)} CSV files; name one, as in --data-dir {path}/ETTh1.csv"
            )
        path = files[0]
    header, rows, numbers = read_csv(path)
    if args.rows:
        rows = rows[: args.rows]
    if len(header) < 2:
        raise UserError(f"{path}, row 1: there is no column beside the time")
    check_times(path, rows, numbers)
    values = []
    for cells in rows:
        values.append([as_number(cell) for cell in cells[1:]])
    series = torch.tensor(values, dtype=torch.float64)  # (time, channels)
    for index, column in series.isnan().nonzero()[:1].tolist():
        name, cell = header[column + 1], rows[index][column + 1]
        raise UserError(f"{path}, row {numbers[index]}: {name} is {cell!r}, not a number")
    return in_memory(args, series, header[1:], source=str(path))


def check_times(path: Path, rows: list[list[str]], numbers: list[int]) -> None:
    """Raise UserError if the first cell of a row is no time, or not after the one before."""
    before = -math.inf
    for index, cells in enumerate(rows):
        time = as_time(cells[0])
        if math.isnan(time):
            raise UserError(
                f"{path}, row {numbers[index]}: {cells[0]!r} is no time; "
                "write 2016-07-01 13:00:00, or a number"
            )
        if time <= before:
            raise UserError(
                f"{path}, row {numbers[index]}: {cells[0]} is not after the row before; "
                "sort the rows by time"
            )
        before = time


def as_time(text: str) -> float:
    """Return a number that grows with time for a number or a date such as 2016-07-01 13:00:00.

    It is NaN if the text is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "seasons": seasons,
    "csv": csv_file,
}
