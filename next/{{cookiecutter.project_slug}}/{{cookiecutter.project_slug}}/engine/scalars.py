"""Weighted means of the scalars that an objective returns."""

from typing import Any

import torch
from torch import Tensor

Weight = Tensor | float
Scalar = tuple[Tensor, Weight]  # a mean, and the number that it is a mean over


def average(outputs: list[dict[str, Any]]) -> dict[str, Scalar]:
    """Return the mean of each scalar over `outputs` with its total weight, on its device.

    Each output has a "weight", the number of samples or tokens that its scalars are means over. A
    scalar with another weight is a pair `(value, weight)`. Tensors for the metrics, "predictions"
    and "targets", are passed over.
    """
    sums: dict[str, Scalar] = {}
    for output in outputs:
        for name, value in output.items():
            if name in ("weight", "predictions", "targets"):
                continue
            mean, weight = value if isinstance(value, tuple) else (value, output["weight"])
            mean = mean.detach().float()
            if len(outputs) == 1:
                sums[name] = mean, weight
                continue
            total, total_weight = sums.get(name, (0.0, 0.0))
            sums[name] = total + mean * weight, total_weight + weight
    if len(outputs) == 1:
        return sums
    return {name: (total / weight, weight) for name, (total, weight) in sums.items()}


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
