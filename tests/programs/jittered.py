"""Images whose transform draws random numbers, to add to a project: a file of its package."""

import random
from typing import Any

import torch
from torch import Tensor

from .engine.loader import InMemory


def jitter(sample: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Change an image by random numbers of Python and of torch."""
    image, label = sample
    return image * random.uniform(0.5, 1.5) + 0.5 * torch.randn(image.shape), label


def jittered(_args: Any) -> tuple[Any, Any, Any]:
    """Return images with one bright row, whose number is the class."""
    splits: list[Any] = []
    info = {"classes": list("01234567"), "channels": 1, "image_size": 8}
    info |= {"mean": torch.zeros(1, 1, 1), "std": torch.ones(1, 1, 1)}
    for number in (150, 50, 50):
        labels = torch.arange(number) % 8
        images = torch.eye(8)[labels][:, None, :, None].expand(-1, 1, 8, 8).contiguous()
        splits.append(InMemory(images, labels, info=info))
    splits[0].transform = jitter
    return splits[0], splits[1], splits[2]


SPLITS = {"jittered": jittered}
