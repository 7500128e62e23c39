"""Figures of the predictions."""

from typing import Any

import torch
from torch import nn

from .engine.confusion_matrix import draw_confusion
from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return images with their predictions, wrong ones in red, and the last confusion matrix."""
    model.eval()
    info = loader.info
    images, labels = loader.sample_batch(32)
    with runtime.autocast():
        logits = model(images)  # (batch, classes)
    confidences, predictions = logits.float().softmax(dim=1).max(dim=1)
    images = images.cpu() * info["std"] + info["mean"]

    figure, grid = new_figure(4, 8, size=(10, 6.3), xticks=[], yticks=[])
    figure.suptitle(f"predictions on the {loader.split} split")
    for index, image in enumerate(images):
        axes = grid.flat[index]
        prediction, label = int(predictions[index]), int(labels[index])
        title = f"{plain(info['classes'][prediction], 20)} {confidences[index]:.0%}"
        color = "black"
        if prediction != label:
            title += f", is {plain(info['classes'][label], 20)}"
            color = "tab:red"
        axes.imshow(image.clamp(0, 1).movedim(0, -1).numpy(), cmap="gray")
        axes.set_title(title, fontsize=8, color=color)

    counts = metrics["confusion_matrix"].compute().cpu()
    confusion_matrix = draw_confusion(counts, info["classes"], loader.split)
    return {"predictions": figure, "confusion_matrix": confusion_matrix}
