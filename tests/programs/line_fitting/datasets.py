"""The splits that --dataset chooses from."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from .engine.loader import InMemory

Splits = tuple[Any, Any, Any]


def line(args: Namespace) -> Splits:
    """Points on a noisy line through the origin."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.linspace(-1, 1, args.points)[:, None]
    targets = 3 * inputs + 0.1 * torch.randn(inputs.shape, generator=generator)
    splits = []
    for start in range(3):
        splits.append(InMemory(inputs[start::3], targets[start::3], info={"slope": 3.0}))
    return splits[0], splits[1], splits[2]


DATASETS: dict[str, Callable[[Namespace], Splits]] = {"line": line}
