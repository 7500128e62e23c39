"""Figures of the predictions."""

from typing import Any

import torch
from torch import Tensor, nn

from .engine.confusion_matrix import draw_confusion
from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return the confusion matrix of classes, or the predictions of numbers and their errors."""
    info = loader.info
    if "classes" in info:
        counts = metrics["confusion_matrix"].compute().cpu()
        return {"confusion_matrix": draw_confusion(counts, info["classes"], loader.split)}
    model.eval()
    numbers, categories, targets = loader.sample_batch(1000)
    with runtime.autocast():
        predictions = model(numbers, categories).squeeze(1).float()
    true = (targets * info["deviation"] + info["mean"]).cpu()
    predicted = (predictions * info["deviation"] + info["mean"]).cpu()
    return {"predictions": draw_predictions(true, predicted, info["target"], loader.split)}


def draw_predictions(true: Tensor, predicted: Tensor, target: str, split: str) -> Any:
    """Draw the predictions against the true values, and the residuals: each (samples,)."""
    name = plain(target)
    figure, grid = new_figure(1, 2, size=(10, 4.8))
    figure.suptitle(f"{len(true):,} samples of the {split} split")
    left, right = grid[0]
    style = {"s": 18, "alpha": 0.6, "linewidths": 0, "color": "tab:blue"}
    left.scatter(true, predicted, **style)
    low = min(true.min(), predicted.min()).item()
    high = max(true.max(), predicted.max()).item()
    left.plot([low, high], [low, high], "--", color="tab:red", label="predicted = true")
    left.set(title="predictions", xlabel=f"true {name}", aspect="equal")
    left.set_ylabel(f"predicted {name}")
    left.legend()
    right.scatter(predicted, true - predicted, **style)
    right.axhline(0, linestyle="--", color="tab:red")
    right.set(title="residuals", xlabel=f"predicted {name}", ylabel="true - predicted")
    for axes in (left, right):
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3)
    return figure
