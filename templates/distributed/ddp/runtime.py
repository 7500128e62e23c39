"""Where a run takes place: the device, the precision, the processes, and the signals that end it."""

import ctypes
import io
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from doctor import usable_cores  # first of all: it explains where an import below fails

# isort: split
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from options import UserError


# {% include "distributed/group.py" %}


class Processes(Group):
    """Each process has a whole copy of the model."""

    def place(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Bring `model` to its device."""
        return self.sync_batch_norm(model.to(self.device).to(memory_format=torch.channels_last), args)

    def wrap(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Make a placed `model` ready to train: it averages its gradients with its copies in the other processes."""
        trained: Any = torch.compile(model) if args.compile else model
        if not self.launched:
            return trained
        device_ids = [self.local_rank] if self.device.type == "cuda" else None
        return DistributedDataParallel(trained, device_ids=device_ids, gradient_as_bucket_view=True)

    def unwrap(self, model: nn.Module) -> nn.Module:
        """Return the module inside of what `wrap` and torch.compile have put around it."""
        model = model.module if isinstance(model, DistributedDataParallel) else model
        return getattr(model, "_orig_mod", model)

    def gradient_sync(self, model: nn.Module, enabled: bool) -> AbstractContextManager:
        """A context for one backward pass, which averages gradients over processes where `enabled`."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) and not enabled else nullcontext()

    def save(self, _folder: Path, parts: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        """Give the states of all parts to `write`, on rank 0; no process goes on before they are written."""
        self.on_rank_zero(write, {name: part.state_dict() for name, part in parts.items()})

    def load(self, parts: dict[str, Any], read: Callable[[], tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
        """Put the states that `read` finds, on rank 0, back into the parts; return all that it found."""
        _, states = self.on_rank_zero(read)
        for name, part in parts.items() if states else ():
            part.load_state_dict(states[name])
        return states


# {% include "distributed/common.py" %}
