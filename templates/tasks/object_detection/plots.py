"""Figures of the detections."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime

COLORS = (  # of the classes
    "tab:orange",
    "tab:cyan",
    "tab:pink",
    "tab:olive",
    "tab:green",
    "tab:red",
    "tab:purple",
    "tab:blue",
)


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return images with their true boxes, and the boxes detected with a score of at least 0.3."""
    model.eval()
    images, boxes, labels = loader.sample_batch(12)
    with runtime.autocast():
        _, detections = model(images)
    rows = math.ceil(len(images) / 4)
    figure, grid = new_figure(rows, 4, size=(12, 3.1 * rows + 0.3))
    figure.suptitle(
        f"{loader.split} split; dashed: true boxes; in color: detections with class and score"
    )
    for axes in grid.flat:
        axes.axis("off")
    for index, image in enumerate(images.cpu()):
        axes = grid.flat[index]
        axes.imshow(image.movedim(0, -1).clamp(0, 1).numpy())
        draw_detections(axes, detections[index], loader.info["classes"])
        for box in boxes[index, labels[index] >= 0]:
            draw_box(axes, box, "white", "--")
    return {"predictions": figure}


def draw_detections(axes: Any, found: dict[str, Tensor], classes: list[str]) -> None:
    """Draw the detected boxes with their classes and scores, the best last, on top."""
    scores = found["scores"].tolist()  # the highest first
    for i in reversed(range(len(scores))):
        if scores[i] < 0.3:
            continue
        label = int(found["labels"][i])
        color = COLORS[label % len(COLORS)]
        draw_box(axes, found["boxes"][i], color)
        x, y = found["boxes"][i, :2].tolist()
        style = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
        text = f"{plain(classes[label])} {scores[i]:.2f}"
        axes.text(max(x, 0), max(y, 4), text, fontsize=7, va="bottom", bbox=style)


def draw_box(axes: Any, box: Tensor, color: str, style: str = "-") -> None:
    """Draw the sides of a box, (4,)."""
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = (box - 0.5).tolist()  # matplotlib's whole numbers are centers of pixels
    axes.add_patch(
        Rectangle(
            (x1, y1),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=color,
            linestyle=style,
            linewidth=1.5,
        )
    )
