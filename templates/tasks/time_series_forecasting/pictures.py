"""What the model makes of some samples, as pictures."""

import torch
from matplotlib.figure import Figure
from torch import nn
from torchmetrics import MetricCollection

from loader import Loader
from runtime import Runtime


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Draw forecasts beside the truth, in the data's own units: a row for each window, a column for each channel."""
    model.eval()
    info = loader.dataset.info
    (windows,) = loader.sample_batch(3)  # (windows, context + horizon, channels)
    context, horizon = info["context"], windows.shape[1] - info["context"]
    with runtime.autocast():
        forecasts = model(windows[:, :context]).float()
    windows, forecasts = [part.cpu() * info["deviation"] + info["mean"] for part in (windows, forecasts)]

    channels = min(len(info["channels"]), 3)
    known = min(context, 2 * horizon)  # so much history leaves room for the forecast
    before, after = range(1 - known, 1), range(1, horizon + 1)
    figure = Figure(figsize=(4.5 * channels, 2.2 * len(windows) + 0.8), layout="constrained", facecolor="white")
    grid = figure.subplots(len(windows), channels, squeeze=False, sharex=True)
    for row, axes_of_window in enumerate(grid):
        for channel, axes in enumerate(axes_of_window):
            window = windows[row, :, channel]
            axes.axvspan(0, horizon, color="0.95")
            axes.plot(before, window[context - known : context], color="0.5", label="history")
            axes.plot((0, *after), window[context - 1 :], color="tab:blue", label="truth")
            axes.plot(after, forecasts[row, :, channel], color="tab:red", label="forecast")
            axes.grid(alpha=0.3)
            if row == 0:
                axes.set_title(info["channels"][channel])
        axes_of_window[0].set_ylabel(f"window {row + 1}")
    for axes in grid[-1]:
        axes.set_xlabel("time steps after the last known one")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return {"predictions": figure}
