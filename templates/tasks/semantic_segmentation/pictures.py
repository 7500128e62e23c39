"""What the model makes of some samples, as pictures."""

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from datasets import IGNORED
from loader import Loader
from runtime import Runtime


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Draw images, their masks and the predicted ones, and each class's IoU in the last evaluation."""
    model.eval()
    info = loader.dataset.info
    images, masks = loader.sample_batch(8)
    with runtime.autocast():
        predictions = model(images).argmax(dim=1).cpu()
    images, masks = (images.cpu() * info["std"] + info["mean"]).clamp(0, 1), masks.cpu()
    colors = class_colors(len(info["classes"]))

    figure = Figure(figsize=(10, 7.6), layout="constrained", facecolor="white")
    grid = figure.subplots(4, 7, width_ratios=(1, 1, 1, 0.1, 1, 1, 1))
    rows = [*grid[:, :3], *grid[:, 4:]]
    for axes, image, mask, prediction in zip(rows, images, masks, predictions, strict=False):
        right = (prediction == mask)[mask != IGNORED].float()
        axes[0].imshow(image.movedim(0, -1).numpy())
        axes[1].imshow(colors[mask.clamp(max=len(colors) - 1)].numpy(), interpolation="nearest")
        axes[2].imshow(colors[prediction].numpy(), interpolation="nearest")
        axes[2].set_xlabel(f"{right.mean():.1%} right" if len(right) else "all is ignored", fontsize=8)
    for number, axes in enumerate(rows):
        for panel, title in zip(axes, ("image", "mask", "prediction"), strict=True):
            panel.set(xticks=[], yticks=[], title=title if number in (0, 4) else "", visible=number < len(images))
            panel.spines[:].set_color("silver")
    for gap in grid[:, 3]:
        gap.set_visible(False)
    ious = metrics["class_iou"].compute().tolist()
    names = [f"{name} {iou:.2f}" for name, iou in zip(info["classes"], ious, strict=True)]
    patches = [
        Patch(facecolor=color, edgecolor="silver", label=name)
        for color, name in zip(colors.tolist(), [*names, "ignored"], strict=True)
    ]
    title = "classes, with their IoU in the last evaluation"
    figure.legend(handles=patches, title=title, loc="outside lower center", ncols=6, fontsize="small", frameon=False)
    return {"predictions": figure}


def class_colors(number: int) -> Tensor:
    """Return a color for each class, and white at the end for what is ignored: (number + 1, 3), from 0 to 1."""
    palette = matplotlib.colormaps["tab10" if number <= 8 else "tab20"]
    others = [palette(index % palette.N)[:3] for index in range(number - 1)]
    return torch.tensor([(0.25, 0.25, 0.25), *others, (1.0, 1.0, 1.0)])
