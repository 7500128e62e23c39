"""Figures of the predictions."""

from typing import Any

import torch
from torch import nn

from .engine.loader import Loader
from .engine.report import new_figure
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return the predictions against the true values, and the residuals."""
    model.eval()
    info = loader.info
    numbers, categories, targets = loader.sample_batch(1000)
    with runtime.autocast():
        predictions = model(numbers, categories).squeeze(1).float()
    true = (targets * info["deviation"] + info["mean"]).cpu()
    predicted = (predictions * info["deviation"] + info["mean"]).cpu()

    figure, grid = new_figure(1, 2, size=(10, 4.8))
    figure.suptitle(f"{len(true):,} samples of the {loader.split} split")
    left, right = grid[0]
    style = {"s": 18, "alpha": 0.6, "linewidths": 0, "color": "tab:blue"}
    left.scatter(true, predicted, **style)
    low = min(true.min(), predicted.min()).item()
    high = max(true.max(), predicted.max()).item()
    left.plot([low, high], [low, high], "--", color="tab:red", label="predicted = true")
    left.set(title="predictions", xlabel=f"true {info['target']}", aspect="equal")
    left.set_ylabel(f"predicted {info['target']}")
    left.legend()
    right.scatter(predicted, true - predicted, **style)
    right.axhline(0, linestyle="--", color="tab:red")
    right.set(title="residuals", xlabel=f"predicted {info['target']}", ylabel="true - predicted")
    for axes in (left, right):
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3)
    return {"predictions": figure}
