"""Where a run takes place: the device, the precision, this one process, and the signals that end it."""

import io
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import doctor  # noqa: F401 - first of all: it explains where an import below fails

# isort: split
import torch
from torch import Tensor, nn

from options import UserError


class Processes:
    """The one process of this run."""

    device: torch.device
    rank, local_rank, world_size = 0, 0, 1

    def __init__(self, args: Namespace):
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise UserError("this project trains in one process; start it with `python main.py`, without torchrun")

    def connect(self, args: Namespace) -> None:
        """There is no other process to meet."""

    def close(self) -> None:
        """There is no other process to part from."""

    def place(self, model: nn.Module, _args: Namespace) -> nn.Module:
        """Bring `model` to its device."""
        return model.to(self.device).to(memory_format=torch.channels_last)

    def wrap(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Make a placed `model` ready to train."""
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

    def on_rank_zero(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on rank 0 alone and return its value on every rank."""
        return function(*args)

    def rank_zero_first(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on every rank, on the others when rank 0 is done, for instance with a download."""
        return function(*args)

    def stop_signal(self, mine: int) -> int:
        """Return the signal that any process has received by now, 0 for none."""
        return mine

    def save(self, _folder: Path, parts: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        """Give the states of all parts to `write`."""
        write({name: part.state_dict() for name, part in parts.items()})

    def load(self, parts: dict[str, Any], read: Callable[[], tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
        """Put the states that `read` finds back into the parts; return all that it found."""
        _, states = read()
        for name, part in parts.items() if states else ():
            part.load_state_dict(states[name])
        return states


# {% include "distributed/common.py" %}
