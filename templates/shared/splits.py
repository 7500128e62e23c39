"""Division of a data set into splits, the same for every --seed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def split_indices(samples: int, val: float, test: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of random splits; `val` and `test` are shares of the samples."""
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(0))
    val_samples = int(val * samples)
    test_samples = int(test * samples)
    train, validation, rest = order.split(
        [samples - val_samples - test_samples, val_samples, test_samples]
    )
    return train, validation, rest


def split_list(items: Sequence[Any], val: float, test: float) -> list[list[Any]]:
    """Return the items of a random training, validation and test split."""
    splits = []
    for indices in split_indices(len(items), val, test):
        splits.append([items[index] for index in indices.tolist()])
    return splits
