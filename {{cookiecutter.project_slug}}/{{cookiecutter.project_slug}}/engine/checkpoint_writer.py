"""A thread that writes large checkpoints while the training continues."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any

from torch import Tensor

from .batch import find_tensors, map_tensors

LARGE = 2**26  # bytes; what is smaller is written in less time than most steps take


def is_large(saved: dict[str, Any]) -> bool:
    """Return whether writing a state takes so long that it is worth a copy."""
    sizes = {}  # by address: a model without an average of its weights is in the state twice
    for tensor in find_tensors(saved):
        sizes[tensor.data_ptr()] = tensor.nbytes
    return sum(sizes.values()) >= LARGE


class CheckpointWriter:
    """Calls `write` in a thread, with a copy of a state. One state is written at a time."""

    def __init__(self, write: Callable[..., None]):
        self.write = write
        self.thread = ThreadPoolExecutor(1)
        self.writing: Future[None] | None = None

    def start(self, saved: dict[str, Any], is_best: bool) -> None:
        """Copy a state, and start to write it."""
        self.writing = self.thread.submit(self.write, copy_state(saved), is_best)

    def finish(self) -> None:
        """Wait until the last state is written. Raises UserError if that has failed."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()


def copy_state(saved: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a state on the CPU; tensors that were one are one again."""
    copies: dict[tuple[Any, ...], Tensor] = {}

    def copy_tensor(tensor: Tensor) -> Tensor:
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if place not in copies:
            copies[place] = tensor.detach().to("cpu", copy=True)
        return copies[place]

    copied = {}
    for name, part in saved.items():
        copied[name] = map_tensors(copy_tensor, part)
        if isinstance(part, dict):  # a module's has attributes: the versions of its parts
            copied[name], values = copy(part), copied[name]
            copied[name].update(values)
    return copied
