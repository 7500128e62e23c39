"""A thread that writes large checkpoints while the training continues."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
# {% if cookiecutter.distributed != "fsdp" %}
from copy import copy
# {% endif %}
from typing import Any

# {% if cookiecutter.distributed != "fsdp" %}
import torch
from torch import Tensor

from .batch import find_tensors, map_tensors
# {% else %}
from .batch import find_tensors
# {% endif %}
from .errors import UserError

LARGE = 2**26  # bytes; what is smaller is written in less time than most steps take


def is_large(saved: dict[str, Any]) -> bool:
    """Return whether writing a state takes so long that it is worth a copy."""
    sizes = {}  # by address: a model without an average of its weights is in the state twice
    for tensor in find_tensors(saved):
        sizes[tensor.data_ptr()] = tensor.nbytes
    return sum(sizes.values()) >= LARGE


class CheckpointWriter:
    # {% if cookiecutter.distributed == "fsdp" %}
    """Calls `write` in a thread, with one state at a time."""
    # {% else %}
    """Calls `write` in a thread, with a copy of a state, one at a time."""
    # {% endif %}

    def __init__(self, write: Callable[..., None]):
        self.write = write
        self.thread = ThreadPoolExecutor(1)
        self.writing: Future[None] | None = None
        self.arguments: tuple[Any, ...] = ()  # of `write`, those of the last start
        # {% if cookiecutter.distributed != "fsdp" %}
        self.copies: dict[tuple[Any, ...], Tensor] = {}  # new memory would take longer to fill
        # {% endif %}

    def start(self, saved: dict[str, Any], is_best: bool) -> None:
        # {% if cookiecutter.distributed == "fsdp" %}
        """Start to write a state that has been gathered, which is a copy."""
        # {% else %}
        """Copy a state, and start to write it."""
        saved = self.copy(saved)
        # {% endif %}
        self.arguments = (saved, is_best)
        self.writing = self.thread.submit(self.write, *self.arguments)

    def finish(self) -> None:
        """Wait until the last state is written. Raises UserError if that fails twice."""
        writing, self.writing = self.writing, None
        if writing is None:
            return
        try:
            writing.result()
        except UserError:  # such as of a disk that was full: it may have room by now
            self.write(*self.arguments)
# {% if cookiecutter.distributed != "fsdp" %}

    def copy(self, saved: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of a state on the CPU; tensors that were one are one again."""
        copies: dict[tuple[Any, ...], Tensor] = {}

        def copy_tensor(tensor: Tensor) -> Tensor:
            place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if place not in copies:
                memory = self.copies.get(place)
                if memory is None:
                    memory = torch.empty_like(tensor, device="cpu")
                copies[place] = memory.copy_(tensor.detach())
            return copies[place]

        copied = {}
        for name, part in saved.items():
            copied[name] = map_tensors(copy_tensor, part)
            if isinstance(part, dict):  # a module's has attributes: the versions of its parts
                copied[name], values = copy(part), copied[name]
                copied[name].update(values)
        self.copies = copies
        return copied
# {% endif %}
