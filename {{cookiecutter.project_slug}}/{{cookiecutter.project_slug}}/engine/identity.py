"""What a checkpoint means: the data that it was trained on, beside the shapes of its weights."""

from typing import Any

import torch
from torch import Tensor

from .errors import UserError

LONGEST = 60  # characters of a value in a message


def check_data(saved: dict[str, Any], info: dict[str, Any], other_data: bool) -> None:
    """Compare the `info` of a checkpoint's data with that of the data here.

    Other classes, another order of them or another normalization would give wrong results without
    another sign. Raises UserError that names the first difference, unless `other_data` allows it.
    """
    for name in sorted(saved.keys() | info.keys()):
        if name not in saved or name not in info or not is_same(saved[name], info[name]):
            if other_data:
                continue
            raise UserError(
                f"these data are not those of the checkpoint: {name} is "
                f"{shorten(info.get(name))}, and was {shorten(saved.get(name))} in training; "
                "--other-data uses them all the same"
            )


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values of `info` are equal, apart from the rounding of numbers."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape:
            return False
        return torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-7, equal_nan=True)
    if isinstance(one, float) and isinstance(other, float):
        return is_same(torch.tensor(one), torch.tensor(other))
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return False
        return all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return False
        return all(is_same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def shorten(value: Any) -> str:
    """Return a value as text for a message."""
    if isinstance(value, Tensor):
        value = value.flatten().tolist()
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
