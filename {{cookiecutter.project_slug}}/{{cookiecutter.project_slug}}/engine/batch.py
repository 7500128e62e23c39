"""Batches: nests of tuples, lists and dictionaries of tensors with one row per sample."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Return `batch` with `function` applied to each tensor; other values stay as they are."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, (list, tuple)):
        items = [map_tensors(function, item) for item in batch]
        if hasattr(batch, "_fields"):  # a named tuple
            return type(batch)(*items)
        return type(batch)(items)
    if isinstance(batch, Mapping):
        return {key: map_tensors(function, value) for key, value in batch.items()}
    return batch


def find_tensors(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (list, tuple)):
        for item in batch:
            yield from find_tensors(item)
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from find_tensors(value)


def to_device(batch: Any, device: torch.device) -> Any:
    """Return `batch` with its tensors on `device`; the copy does not block the host."""

    def move(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    return map_tensors(move, batch)


def batch_size(batch: Any) -> int:
    """Return the number of samples: the length of the first tensor."""
    for tensor in find_tensors(batch):
        return len(tensor)
    raise ValueError(f"a batch must hold a tensor, unlike this {type(batch).__name__}")


def split(batch: Any, parts: int) -> list[Any]:
    """Split a batch into `parts` micro-batches for gradient accumulation.

    Raises ValueError if the first dimension of a tensor does not count the samples: such a batch
    cannot be split.
    """
    if parts == 1:
        return [batch]
    lengths = {len(tensor) for tensor in find_tensors(batch)}
    if len(lengths) != 1:
        raise ValueError(
            "--grad-accum splits every tensor of a batch along its first dimension; "
            f"the tensors of this batch have different lengths: {sorted(lengths)}"
        )
    micro_batches = []
    for part in range(parts):

        def take(tensor: Tensor, part: int = part) -> Tensor:
            return tensor.tensor_split(parts)[part]

        micro_batches.append(map_tensors(take, batch))
    return micro_batches
