"""What the model makes of noise, as pictures."""

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchvision.utils import make_grid

from loader import Loader
from runtime import Runtime

ROWS, NEW, REAL, STAGES = 10, 10, 5, 9  # rows; new images, real images and stages of an image in each of them


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Draw new images of each class beside real ones, and the way from noise to image where it has several steps."""
    model.eval()
    names = loader.dataset.info["classes"][:ROWS]
    each = ROWS // len(names)  # rows of a class
    images, labels, *_ = loader.sample_batch(1000)  # bytes (samples, channels, height, width), (samples,)
    asked = torch.arange(len(names)).repeat_interleave(each * NEW).to(images.device)
    noise = torch.randn(len(asked), *images.shape[1:], generator=torch.Generator().manual_seed(0))  # the same each time
    with runtime.autocast():
        stages = model(noise.to(images.device), asked).unflatten(1, (-1, NEW)) / 2 + 0.5
    blank = torch.full_like(images[:1], 255).repeat(each * REAL, 1, 1, 1)  # where there are too few
    real = [torch.cat((images[labels == label], blank))[: each * REAL] for label in range(len(names))]
    real_rows = torch.cat(real).unflatten(0, (-1, REAL)) / 255

    samples = draw_rows([stages[-1], real_rows], ["new images", "real images"], names)
    pictures: dict[str, Figure | str] = {"samples": samples}
    if len(stages) > 1:
        some = torch.linspace(0, len(stages) - 1, min(len(stages), STAGES)).long()
        times = [f"{time:.2g}" for time in (some / (len(stages) - 1)).tolist()]
        pictures["from_noise"] = draw_rows(list(stages[some, :, :1]), [f"time {times[0]}", *times[1:]], names)
    return pictures


def draw_rows(parts: list[Tensor], titles: list[str], names: list[str]) -> Figure:
    """Draw parts, (rows, columns, channels, height, width) from 0 to 1, beside each other, with names of classes."""
    size = parts[0].shape[-1]
    line = max(size // 16, 1)  # between two images
    grids, centres, width = [], [], 0
    for part in parts:
        grid = make_grid(part.flatten(0, 1).float().cpu().clamp(0, 1), part.shape[1], padding=line, pad_value=1)
        gap = torch.ones(*grid.shape[:2], size // 4)
        centres.append(width + grid.shape[2] / 2)
        width += grid.shape[2] + gap.shape[2]
        grids += [grid, gap]
    image = torch.cat(grids[:-1], dim=2).movedim(0, -1)  # (height, width, channels)
    height = len(image) / len(names)  # of a class
    inches = 0.6 / (size + line)  # for each pixel
    figure = Figure((1.2 + inches * width, 0.6 + inches * len(image)), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.add_subplot()
    axes.imshow(image.numpy())
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=12)
    axes.xaxis.tick_top()
    axes.set_xticks(centres, titles)
    axes.set_yticks([height * (number + 0.5) for number in range(len(names))], names)
    return figure
