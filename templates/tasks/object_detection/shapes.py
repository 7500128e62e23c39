"""Drawn images of shapes, and their boxes: the built-in data."""

import torch
from torch import Tensor

CLASSES = ["ellipse", "rectangle", "triangle"]


def draw_shapes(count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw noisy images with up to four shapes, a fifth of them empty; always the same ones.

    Returns images (count, 3, size, size) from 0 to 1, boxes (count, 4, 4) as x1, y1, x2, y2 in
    pixels, and labels (count, 4), -1 if there is no box.
    """
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    images = uniform(0.0, 0.35, 3, 1, 1).expand(-1, -1, size, size)
    boxes = torch.zeros(count, 4, 4)
    labels = torch.full((count, 4), -1)
    wanted = uniform(0, 5).long()
    for i in range(4):
        sides = uniform(10, 30, 2)  # width and height
        color = uniform(0.35, 1.0, 3, 1, 1)
        corner = uniform(0, 1, 2) * (size - sides)
        kind = uniform(0, 3).long()
        upright = uniform(-1, 1, 1, 1).sign()  # or upside down
        box = torch.cat((corner, corner + sides), dim=1)
        hidden = get_hidden_shares(boxes, box)
        fits = (i < wanted) & (hidden < 0.2).all(dim=1)  # every object stays mostly visible
        boxes[:, i] = torch.where(fits[:, None], box, 0)
        labels[:, i] = torch.where(fits, kind, -1)
        cover = get_cover(box, kind, upright, size) * fits[:, None, None]
        images = images.lerp(color, cover[:, None])
    noise = 0.04 * torch.randn(images.shape, generator=generator)
    return (images + noise).clamp(0, 1), boxes, labels


def get_hidden_shares(boxes: Tensor, box: Tensor) -> Tensor:
    """Return the share of each of `boxes` (count, most, 4) that is under `box` (count, 4)."""
    top_left = torch.maximum(box[:, None, :2], boxes[..., :2])
    overlap = (torch.minimum(box[:, None, 2:], boxes[..., 2:]) - top_left).clamp(min=0).prod(dim=2)
    return overlap / (boxes[..., 2:] - boxes[..., :2]).prod(dim=2).clamp(min=1)


def get_cover(box: Tensor, kind: Tensor, upright: Tensor, size: int) -> Tensor:
    """Return how much of each pixel the shape in a box (count, 4) covers: (count, size, size)."""
    pixels = torch.arange(size) + 0.5
    sides = box[:, 2:] - box[:, :2]
    u, v = ((pixels - box[:, :2, None]) / sides[..., None] * 2 - 1).unbind(dim=1)  # -1, 1: sides
    u = u[:, None, :].abs()
    v = v[:, :, None] * upright
    ellipse = 1 - (u**2 + v**2).sqrt()  # positive inside
    rectangle = 1 - torch.maximum(u, v.abs())
    triangle = torch.minimum((1 + v) / 2 - u, 1 - v)
    inside = torch.stack((ellipse, rectangle, triangle))[kind, torch.arange(len(box))]
    return (inside * sides.amin(dim=1)[:, None, None] / 2 + 0.5).clamp(0, 1)
