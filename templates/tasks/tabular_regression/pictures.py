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
    """Draw predictions against true values, and what is left between them."""
    model.eval()
    info = loader.dataset.info
    numbers, categories, targets = loader.sample_batch(1000)
    with runtime.autocast():
        predictions = model(numbers, categories).float()
    true = (targets * info["deviation"] + info["mean"]).cpu()
    predicted = (predictions * info["deviation"] + info["mean"]).cpu()

    figure = Figure(figsize=(10, 4.6), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    style = {"s": 18, "alpha": 0.6, "linewidths": 0, "color": "tab:blue"}
    left.scatter(true, predicted, **style)
    low, high = min(true.min(), predicted.min()).item(), max(true.max(), predicted.max()).item()
    left.plot([low, high], [low, high], "--", color="tab:red", label="predicted = true")
    left.set(title="predictions", xlabel=f"true {info['target']}", ylabel=f"predicted {info['target']}", aspect="equal")
    left.legend()
    right.scatter(predicted, true - predicted, **style)
    right.axhline(0, linestyle="--", color="tab:red")
    right.set(title="residuals", xlabel=f"predicted {info['target']}", ylabel="true minus predicted")
    for axes in (left, right):
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3)
    return {"predictions": figure}
