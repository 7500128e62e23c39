"""Where a run takes place: the device, the precision, this one process, and the signals that end it."""

import io
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType
from typing import Any

from doctor import usable_cores  # first of all: it explains where an import below fails

# isort: split
import torch
from torch import Tensor, nn


class Processes:
    """The one process of this run."""

    rank, local_rank, world_size = 0, 0, 1

    def __init__(self, args: Namespace):
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise UserError("this project trains in one process; start it with `python main.py`, without torchrun")

    def connect(self, args: Namespace) -> None:
        """There is no other process to meet."""

    def close(self) -> None:
        """There is no other process to part from."""

    def wrap(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Make `model` ready to train."""
        trained: Any = torch.compile(model) if args.compile else model
        return trained

    def unwrap(self, model: nn.Module) -> nn.Module:
        """Return the module inside of what `wrap` and torch.compile have put around it."""
        return getattr(model, "_orig_mod", model)

    def gradient_sync(self, model: nn.Module, _enabled: bool) -> AbstractContextManager:
        """A context for one backward pass, which averages gradients over processes where enabled."""
        return nullcontext()

    def sync_buffers(self, model: nn.Module) -> None:
        """Make buffers, such as the statistics of batch norm, the same everywhere."""

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` over all processes."""
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value that rank 0 has."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        return [value]

    def stop_signal(self, mine: int) -> int:
        """Return the signal that any process has received by now, 0 for none."""
        return mine


# {% include "distributed/common.py" %}
