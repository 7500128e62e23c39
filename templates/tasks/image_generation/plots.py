"""Figures of new images."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid

from .engine.loader import Loader
from .engine.report import new_figure, plain
from .engine.runtime import Runtime

ROWS = 10
NEW = 10  # new images in a row
REAL = 5  # real images in a row
STAGES = 9  # shown of the way from noise to image


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return new images of each class beside real ones, and the way from noise to image."""
    model.eval()
    names = loader.info["classes"][:ROWS]
    rows = ROWS // len(names)  # of a class
    images, labels, *_ = loader.sample_batch(1000)  # bytes, (samples,)
    classes = torch.arange(len(names)).repeat_interleave(rows * NEW)
    generator = torch.Generator().manual_seed(0)  # the same noise each time
    noise = torch.randn(len(classes), *images.shape[1:], generator=generator)
    with runtime.autocast():
        stages = model(noise.to(images.device), classes.to(images.device))
    stages = stages.unflatten(1, (-1, NEW)) / 2 + 0.5  # (stages, rows, new, channels, ...)

    real = get_real_images(images, labels, len(names), rows * REAL).unflatten(0, (-1, REAL)) / 255
    title = f"new images beside real ones of the {loader.split} split"
    samples = draw_rows([stages[-1], real], ["new images", "real images"], names, title)
    figures = {"samples": samples}
    if len(stages) > 1:
        chosen = torch.linspace(0, len(stages) - 1, min(len(stages), STAGES)).long()
        columns, times = [], []
        for stage in chosen.tolist():
            columns.append(stages[stage, :, :1])
            times.append(f"{stage / (len(stages) - 1):.2g}")
        times[0] = f"time {times[0]}"
        title = f"from noise to image, classes of the {loader.split} split"
        figures["from_noise"] = draw_rows(columns, times, names, title)
    return figures


def get_real_images(images: Tensor, labels: Tensor, classes: int, number: int) -> Tensor:
    """Return `number` images of each class in turn; if there are fewer, the others are white."""
    blank = torch.full_like(images[:1], 255).expand(number, -1, -1, -1)
    chosen = []
    for label in range(classes):
        chosen.append(torch.cat((images[labels == label], blank))[:number])
    return torch.cat(chosen)


def draw_rows(parts: list[Tensor], titles: list[str], names: list[str], title: str) -> Any:
    """Draw images, (rows, columns, channels, height, width) from 0 to 1 in each part, side by side.

    `titles` are those of the parts, and `names` those of the classes, which have as many rows each.
    """
    size = parts[0].shape[-1]
    line = max(size // 16, 1)  # between two images
    grids: list[Tensor] = []
    centers = []
    width = 0
    for part in parts:
        images = part.flatten(0, 1).float().cpu().clamp(0, 1)
        grid = make_grid(images, part.shape[1], padding=line, pad_value=1)
        gap = torch.ones(*grid.shape[:2], size // 4)
        centers.append(width + grid.shape[2] / 2)
        width += grid.shape[2] + gap.shape[2]
        grids += [grid, gap]
    image = torch.cat(grids[:-1], dim=2).movedim(0, -1)  # (height, width, channels)
    inches = 0.6 / (size + line)  # of a pixel
    figure, axes = new_figure(size=(1.2 + inches * width, 1 + inches * len(image)))
    figure.suptitle(title)
    axes[0, 0].imshow(image.numpy())
    axes[0, 0].spines[:].set_visible(False)
    axes[0, 0].tick_params(length=0, labelsize=12)
    axes[0, 0].xaxis.tick_top()
    axes[0, 0].set_xticks(centers, titles)
    height = len(image) / len(names)  # of a class
    places = [height * (row + 0.5) for row in range(len(names))]
    axes[0, 0].set_yticks(places, [plain(name, longest=20) for name in names])
    return figure
