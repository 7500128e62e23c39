"""Figures of the forecasts."""

from typing import Any

import torch
from torch import Tensor, nn

from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return forecasts of some windows, a row for each, beside the truth in the data's units."""
    model.eval()
    info = loader.info
    context, targets = info["context"], len(info["targets"])
    windows, *series = loader.sample_batch(3)  # (windows, context + horizon, channels)
    inputs = [windows[:, :context]]
    if info["known"]:
        inputs.append(windows[:, context:, -len(info["known"]) :])
    with runtime.autocast():
        forecasts = model(*inputs).float()  # (windows, horizon, targets)
    mean, std = info["mean"], info["std"]  # (channels,)
    labels = [f"window {number}" for number in range(1, len(windows) + 1)]
    if series:  # (windows,)
        numbers = series[0].cpu()
        mean, std = mean[numbers].unsqueeze(1), std[numbers].unsqueeze(1)
        labels = [plain(info["series"][number], 20) for number in numbers.tolist()]
    mean, std = mean[..., :targets], std[..., :targets]
    windows = windows[:, :, :targets].cpu() * std + mean
    forecasts = forecasts.cpu() * std + mean

    rows, columns = len(windows), min(targets, 3)
    size = (4.5 * columns, 2.2 * rows + 1.2)
    figure, grid = new_figure(rows, columns, size=size, sharex=True)
    figure.suptitle(f"forecasts on the {loader.split} split")
    for row in range(rows):
        grid[row, 0].set_ylabel(labels[row])
        for column in range(columns):
            draw_forecast(grid[row, column], windows[row, :, column], forecasts[row, :, column])
    for column in range(columns):
        grid[0, column].set_title(plain(info["channels"][column]))
        grid[-1, column].set_xlabel("time steps after the last known one")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return {"predictions": figure}


def draw_forecast(axes: Any, window: Tensor, forecast: Tensor) -> None:
    """Draw one channel of a window, (context + horizon,), and its forecast, (horizon,)."""
    horizon = len(forecast)
    context = len(window) - horizon
    known = min(context, 2 * horizon)  # so much history leaves room for the forecast
    axes.axvspan(0, horizon, color="0.95")
    axes.plot(range(1 - known, 1), window[context - known : context], color="0.5", label="history")
    axes.plot(range(horizon + 1), window[context - 1 :], color="tab:blue", label="truth")
    axes.plot(range(1, horizon + 1), forecast, color="tab:red", label="forecast")
    axes.grid(alpha=0.3)
