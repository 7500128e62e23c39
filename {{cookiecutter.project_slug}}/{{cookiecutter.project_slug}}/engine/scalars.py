"""Weighted means of the scalars that an objective returns."""

from typing import Any

import torch
from torch import Tensor

Weight = Tensor | float
Scalar = tuple[Tensor, Weight]  # a mean, and the number that it is a mean over


def get_scalars(output: dict[str, Any], samples: int) -> dict[str, Scalar]:
    """Return the mean and the weight of each scalar that an objective has returned, detached.

    The weight is the output's "weight", or else the number of samples; a scalar that is a mean over
    another number is a pair `(value, weight)`. Tensors for the metrics are left out. Raises
    ValueError if a tensor has dimensions.
    """
    weight = output.get("weight", samples)
    scalars: dict[str, Scalar] = {}
    for name, value in output.items():
        if name in ("weight", "predictions", "targets"):
            continue
        mean, over = value if isinstance(value, tuple) else (value, weight)
        if mean.dim():
            raise ValueError(f"{name!r} must be a scalar, its shape is {tuple(mean.shape)}")
        scalars[name] = (mean.detach(), over)
    return scalars


def weigh(mean: Tensor, weight: Weight) -> Tensor:
    """Return `mean * weight`; a mean over nothing may be NaN, and counts for nothing."""
    total = mean.detach().float() * weight
    if isinstance(weight, Tensor):
        return torch.where(weight == 0, 0.0, total)
    return total if weight else torch.zeros_like(total)


def average(parts: list[dict[str, Scalar]]) -> dict[str, Scalar]:
    """Return the weighted mean of each scalar over micro-batches or batches, with its weight."""
    if len(parts) == 1:
        return parts[0]
    sums: dict[str, Scalar] = {}
    for scalars in parts:
        for name, (mean, weight) in scalars.items():
            total, total_weight = sums.get(name, (0.0, 0.0))
            sums[name] = (total + weigh(mean, weight), total_weight + weight)
    averages: dict[str, Scalar] = {}
    for name, (total, weight) in sums.items():
        averages[name] = (total / weight, weight)
    return averages


def stack(scalars: list[Scalar], device: torch.device) -> Tensor:
    """Return the weighted sums and the weights as a tensor of the shape (scalars, 2)."""
    if not scalars:
        return torch.zeros(0, 2, device=device)
    means = torch.stack([mean.detach().float() for mean, _ in scalars])
    if any(isinstance(weight, Tensor) for _, weight in scalars):
        columns = [torch.as_tensor(weight, device=device).float() for _, weight in scalars]
        weights = torch.stack(columns)
    else:
        numbers = [float(weight) for _, weight in scalars]
        weights = torch.tensor(numbers, device=device)
    # A mean over nothing may be NaN, and counts for nothing.
    return torch.stack((torch.where(weights == 0, 0.0, means * weights), weights), dim=1)
