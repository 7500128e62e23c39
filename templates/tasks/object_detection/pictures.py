"""What the model makes of some samples, as pictures."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torchmetrics import MetricCollection

from loader import Loader
from runtime import Runtime

COLOURS = ("tab:orange", "tab:cyan", "tab:pink", "tab:olive", "tab:green", "tab:red", "tab:purple", "tab:blue")


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Draw images with their true boxes, dashed, and those detected with a score of at least 0.3."""
    model.eval()
    classes = loader.dataset.info["classes"]
    images, boxes, labels = loader.sample_batch(12)
    with runtime.autocast():
        _, detections = model(images)
    rows = -(-len(images) // 4)
    figure = Figure(figsize=(12, 3.1 * rows + 0.3), layout="constrained", facecolor="white")
    figure.suptitle("dashed: true boxes; in colour: detections with class and score")
    grid = figure.subplots(rows, 4, squeeze=False).flatten()
    for axes in grid:
        axes.axis("off")
    for axes, image, box, label, found in zip(grid, images.cpu(), boxes.cpu(), labels.cpu(), detections, strict=False):
        axes.imshow(image.movedim(0, -1).clamp(0, 1).numpy())
        for i in reversed(range(int((found["scores"] >= 0.3).sum()))):  # the best last, on top
            number = int(found["labels"][i])
            colour = COLOURS[number % len(COLOURS)]
            outline(axes, found["boxes"][i], colour)
            text = f"{classes[number]} {found['scores'][i]:.2f}"
            style = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
            x, y = found["boxes"][i, :2].tolist()
            axes.text(max(x, 0), max(y, 4), text, fontsize=7, va="bottom", bbox=style)
        for true in box[label >= 0]:
            outline(axes, true, "white", "--")
    return {"predictions": figure}


def outline(axes: Axes, box: Tensor, colour: str, style: str = "-") -> None:
    """Draw the sides of a box, (4,)."""
    x1, y1, x2, y2 = (box - 0.5).tolist()  # a pixel's centre, not its corner, has whole numbers in matplotlib
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=style, linewidth=1.5))
