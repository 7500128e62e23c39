"""The training, validation and test splits: windows of time series, in order of time."""

import math
from argparse import Namespace
from collections.abc import Callable

import torch
from torch import Tensor

from .engine.errors import refuse_unused
from .engine.loader import InMemory
from .engine.series import TimeSeries, describe_source, find_windows, read_series, standardize

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the series


def in_memory(args: Namespace, series: TimeSeries) -> Splits:
    """Split each series 6:2:2 in order of time, and cut it into standardized windows.

    A window has --context steps and the --horizon steps after them; the next one begins one step
    later. Validation and test windows may look back over the border of their split, so that its
    very first steps are forecast as well. Mean and deviation are those of the training split.
    Windows with a missing value are left out. Raises UserError if a split has no window.
    """
    mean, std = standardize(args, series)  # (series, channels) both
    length = args.context + args.horizon
    starts, notes = find_windows(args, series)
    info = {
        "channels": series.channels,
        "targets": series.targets,
        "known": series.known,
        "series": series.names,
        "context": args.context,
        "horizon": args.horizon,
        "source": describe_source(series),
        "mean": mean if series.names else mean[0],
        "std": std if series.names else std[0],
        "notes": series.notes + notes,
    }
    # A view, (rows, context + horizon, channels): windows share their memory.
    windows = series.values.unfold(0, length, 1).transpose(1, 2)
    tensors = [windows]
    if series.names:
        tensors.append(series.numbers[: len(windows)])  # of the series that a window is from
    keys = None if series.keys is None else series.keys[args.context :]  # of the first forecast
    splits = []
    for indices in starts:
        first, last = int(indices[0]), int(indices[-1])
        if len(indices) == last + 1 - first:  # the usual case, without a gap
            parts = [tensor[first : last + 1] for tensor in tensors]
            splits.append(InMemory(*parts, info=info))
            own_keys = None if keys is None else keys[first : last + 1]
        else:
            splits.append(InMemory(*tensors, info=info))
            splits[-1].indices = indices
            own_keys = None if keys is None else keys[indices]
        splits[-1].keys = own_keys
    train, val, test = splits
    return train, val, test


def seasons(args: Namespace) -> Splits:
    """Return 5,000 hours of five random channels: a trend, a drift, days, weeks and noise."""
    refuse_unused(args, "data_dir", "time_column", "series_column", "target_column", "known_column")
    refuse_unused(args, "rows")
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
    return in_memory(args, TimeSeries("seasons", series.double(), channels))


def csv_file(args: Namespace) -> Splits:
    """Return own data, e.g. the ETT data of Zhou et al. 2021, https://arxiv.org/abs/2012.07436."""
    return in_memory(args, read_series(args))


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "seasons": seasons,
    "csv": csv_file,
}
