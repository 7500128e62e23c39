"""Figures of the forecasts."""

from typing import Any

import torch
from torch import Tensor, nn

from .engine.loader import Loader
from .engine.report import new_figure
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return forecasts of some windows, a row for each, beside the truth in the data's units."""
    model.eval()
    info = loader.info
    context = info["context"]
    (windows,) = loader.sample_batch(3)  # (windows, context + horizon, channels)
    with runtime.autocast():
        forecasts = model(windows[:, :context]).float()
    windows = windows.cpu() * info["std"] + info["mean"]
    forecasts = forecasts.cpu() * info["std"] + info["mean"]

    rows, columns = len(windows), min(len(info["channels"]), 3)
    size = (4.5 * columns, 2.2 * rows + 1.2)
    figure, grid = new_figure(rows, columns, size=size, sharex=True)
    figure.suptitle(f"forecasts on the {loader.split} split")
    for row in range(rows):
        grid[row, 0].set_ylabel(f"window {row + 1}")
        for column in range(columns):
            draw_forecast(grid[row, column], windows[row, :, column], forecasts[row, :, column])
    for column in range(columns):
        grid[0, column].set_title(info["channels"][column])
        grid[-1, column].set_xlabel("time steps after the last known one")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
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
