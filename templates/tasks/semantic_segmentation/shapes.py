"""Drawn images of shapes, and their masks: the built-in data."""

import math

import torch
from torch import Tensor

CLASSES = ["background", "circle", "ring", "triangle", "cross"]


def draw_shapes(count: int, size: int, ignored: int) -> tuple[Tensor, Tensor]:
    """Draw noisy images, each with up to three shapes over one another; always the same ones.

    Returns images (count, 3, size, size) from 0 to 1, and masks (count, size, size) of class
    indices, in which the outlines are `ignored`.
    """
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    line = torch.linspace(-1, 1, size)
    ramp = uniform(3, 1, 1, low=-0.1, high=0.1) * line.view(size, 1)
    ramp = ramp + uniform(3, 1, 1, low=-0.1, high=0.1) * line
    images = uniform(1, 1, 1, low=0.1, high=0.4) + ramp  # a background of nearly one gray
    masks = torch.zeros(count, size, size, dtype=torch.long)
    pixel = torch.arange(size) + 0.5
    for number in range(3):
        radius = uniform(1, 1, low=size / 7, high=size / 3.5)
        angle = uniform(1, 1, low=-0.3, high=0.3)
        right = pixel - uniform(1, 1, low=0.15 * size, high=0.85 * size)  # from the center
        down = pixel.view(size, 1) - uniform(1, 1, low=0.15 * size, high=0.85 * size)
        x = right * angle.cos() + down * angle.sin()  # (count, size, size)
        y = down * angle.cos() - right * angle.sin()
        kind = torch.randint(4, (count, 1, 1), generator=generator)
        distances = get_distances(x, y, radius)
        distance = distances.take_along_dim(kind.unsqueeze(0), dim=0)[0]
        absent = uniform(1, 1) > 1 - 0.25 * number  # not every image has all three
        distance = distance.masked_fill(absent, size)
        color = uniform(3, 1, 1, low=0.3)
        images = images.lerp(color, (0.5 - distance).clamp(0, 1).unsqueeze(1))
        masks = torch.where(distance < 0, kind + 1, masks)
        masks = masks.masked_fill(distance.abs() < 0.5, ignored)
    noise = 0.06 * torch.randn(images.shape, generator=generator)
    return (images + noise).clamp(0, 1), masks


def get_distances(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Return the signed distance of points to the outline of each shape, in pixels, below 0 inside.

    `x` and `y` are the points as seen from the centers of the shapes, (count, height, width); the
    result is (shapes, count, height, width).
    """
    from_center = torch.hypot(x, y)
    wide = x.abs()
    high = y.abs()
    beam = torch.maximum(wide - radius, high - radius / 3)
    bar = torch.maximum(high - radius, wide - radius / 3)
    circle = from_center - radius
    ring = (from_center - 0.7 * radius).abs() - 0.3 * radius
    triangle = torch.maximum(wide * math.sqrt(0.75) + y / 2, -y) - 0.6 * radius
    cross = torch.minimum(beam, bar)
    return torch.stack((circle, ring, triangle, cross))
