"""Where a run takes place: the device, the precision, the processes, and the signals that end it."""

import ctypes
import io
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

from doctor import usable_cores  # first of all: it explains where an import below fails

# isort: split
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.rendezvous import rendezvous

from options import UserError
from sharding import States, shard


# {% include "distributed/group.py" %}


class Processes(Group):
    """Each process has a part, a shard, of every weight; what a block needs comes together while it computes."""

    precision: str

    def __init__(self, args: Namespace):
        super().__init__(args)
        self.states = States(self, args.sharded_checkpoints)
        self.save, self.load = self.states.save, self.states.load

    def close(self) -> None:
        """Finish what is being written, and leave the process group."""
        self.states.finish_saving()
        super().close()

    def place(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Bring `model` to its device, and divide it between the processes."""
        model = self.sync_batch_norm(model, args)
        if not self.launched:
            return model.to(self.device)
        mesh = init_device_mesh(self.device.type, (self.world_size,))
        shard(model, mesh, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision))  # block by block
        return model

    def wrap(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Make a placed `model` ready to train."""
        trained: Any = torch.compile(model) if args.compile else model
        return trained

    def unwrap(self, model: nn.Module) -> nn.Module:
        """Return the module inside of what torch.compile has put around it."""
        return getattr(model, "_orig_mod", model)

    @contextmanager
    def gradient_sync(self, model: nn.Module, enabled: bool) -> Iterator[None]:
        """A context for one backward pass, which averages gradients over processes where `enabled`."""
        module = self.unwrap(model)
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(enabled)
        yield


# {% include "distributed/common.py" %}
