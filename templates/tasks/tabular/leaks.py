"""Columns that alone tell the target: often they are known only when the target is."""

import math

import torch
from torch import Tensor

LOOKED_AT = 10_000  # rows, at most, spread over all of them
ROWS = 10  # that a value has on average, and that are not of the largest class
STRAIGHT = 0.9999  # a correlation above this is a straight line


def tells(values: Tensor, targets: Tensor) -> bool:
    """Return whether a column tells the target, as far as some rows show.

    It does if all rows with the same value have the same target, and the values are few, or if both
    lie on a straight line. A missing value, NaN, is a value. Both are (rows,).
    """
    step = math.ceil(len(values) / LOOKED_AT)
    values = values[::step].double()
    targets = targets[::step]
    if targets.is_floating_point() and get_correlation(values, targets) > STRAIGHT:
        return True
    _, levels = values.nan_to_num(math.inf).unique(return_inverse=True)
    _, classes, counts = targets.unique(return_inverse=True, return_counts=True)
    number = int(levels.max()) + 1
    if number < 2 or len(levels) < ROWS * number or len(levels) - int(counts.max()) < ROWS:
        return False
    pairs = len(counts) * levels + classes
    return len(pairs.unique()) == number


def get_correlation(values: Tensor, targets: Tensor) -> float:
    """Return the absolute correlation of the finite ones; 0 if they are few or all the same."""
    known = values.isfinite() & targets.isfinite()
    if known.sum() < ROWS:
        return 0.0
    both = torch.stack((values[known], targets[known].double()))
    return abs(float(both.corrcoef()[0, 1].nan_to_num()))
