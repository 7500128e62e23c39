"""Figures of the predictions."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .datasets import IGNORED
from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return images, their masks and the predicted ones, and the last IoU of each class."""
    model.eval()
    info = loader.info
    images, masks = loader.sample_batch(8)
    with runtime.autocast():
        predictions = model(images).argmax(dim=1).cpu()
    images = (images.cpu() * info["std"] + info["mean"]).clamp(0, 1)
    masks = masks.cpu()
    colors = get_colors(len(info["classes"]))

    rows = math.ceil(len(images) / 2)  # of two samples with a gap between them
    widths = (1, 1, 1, 0.1, 1, 1, 1)
    size = (10, 1.65 * rows + 1)
    figure, grid = new_figure(rows, 7, size=size, width_ratios=widths, xticks=[], yticks=[])
    figure.suptitle(f"predictions on the {loader.split} split")
    for axes in grid.flat:
        axes.spines[:].set_color("silver")
        axes.set_visible(False)
    for index, image in enumerate(images):
        row, side = divmod(index, 2)
        panels = grid[row, 4 * side : 4 * side + 3]
        draw_sample(panels, image, masks[index], predictions[index], colors)
        if row == 0:
            for axes, title in zip(panels, ("image", "mask", "prediction"), strict=True):
                axes.set_title(title)
    add_legend(figure, metrics["class_iou"].compute().tolist(), info["classes"], colors)
    return {"predictions": figure}


def draw_sample(
    panels: Any, image: Tensor, mask: Tensor, prediction: Tensor, colors: Tensor
) -> None:
    """Draw an image, its mask and the predicted one, with the share of right pixels."""
    right = (prediction == mask)[mask != IGNORED].float()
    label = f"{right.mean():.1%} right" if len(right) else "all is ignored"
    panels[0].imshow(image.movedim(0, -1).numpy())
    panels[1].imshow(colors[mask.clamp(max=len(colors) - 1)].numpy(), interpolation="nearest")
    panels[2].imshow(colors[prediction].numpy(), interpolation="nearest")
    panels[2].set_xlabel(label, fontsize=8)
    for axes in panels:
        axes.set_visible(True)


def add_legend(figure: Any, ious: list[float], classes: list[str], colors: Tensor) -> None:
    """Add the color of each class with its IoU, and the color of ignored pixels."""
    from matplotlib.patches import Patch

    labels = [f"{plain(name)} {iou:.2f}" for name, iou in zip(classes, ious, strict=True)]
    patches = []
    for color, label in zip(colors.tolist(), [*labels, "ignored"], strict=True):
        patches.append(Patch(facecolor=color, edgecolor="silver", label=label))
    figure.legend(
        handles=patches,
        title="classes, with their IoU on the whole split",
        loc="outside lower center",
        ncols=6,
        fontsize="small",
        frameon=False,
    )


def get_colors(classes: int) -> Tensor:
    """Return a color for each class and, last, white for ignored pixels: (classes + 1, 3)."""
    import matplotlib

    palette = matplotlib.colormaps["tab10" if classes <= 8 else "tab20"]
    colors = [(0.25, 0.25, 0.25)]
    for index in range(classes - 1):
        colors.append(palette(index % palette.N)[:3])
    return torch.tensor([*colors, (1.0, 1.0, 1.0)])
