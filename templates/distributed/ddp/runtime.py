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
from types import FrameType
from typing import Any

from doctor import usable_cores  # first of all: it explains where an import below fails

# isort: split
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Processes:
    """The processes that torchrun started, each with a whole copy of the model; `python main.py` is a world of one."""

    device: torch.device

    def __init__(self, args: Namespace):
        self.rank = int(os.environ.get("RANK", 0))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        self.world_size = int(os.environ.get("WORLD_SIZE", 1))

    def connect(self, args: Namespace) -> None:
        """Join the process group."""
        if self.world_size == 1:
            return
        if sys.platform == "linux":  # should torchrun be killed, its processes must not live on
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        cuda = self.device.type == "cuda"
        timeout = timedelta(seconds=args.dist_timeout)
        backend, device = ("nccl", self.device) if cuda else ("gloo", None)
        dist.init_process_group(backend, timeout=timeout, device_id=device)
        self.cpu_group: Any = dist.new_group(backend="gloo", timeout=timeout)  # between CPUs, past the GPUs
        self.flag = torch.zeros(1, dtype=torch.int64)
        self.pending: dist.Work | None = None

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1:
            dist.destroy_process_group()

    def wrap(self, model: nn.Module, args: Namespace) -> nn.Module:
        """Make `model` average its gradients with its copies in the other processes.

        Batch norm goes by the samples of its own process, and rank 0's running statistics are the ones that are
        saved; with `--sync-batch-norm`, on GPUs, it goes by the whole batch.
        """
        if args.sync_batch_norm:
            if self.device.type != "cuda":
                raise UserError("--sync-batch-norm works on GPUs only")
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        trained: Any = torch.compile(model) if args.compile else model
        if self.world_size == 1:
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

    def sync_buffers(self, model: nn.Module) -> None:
        """Make buffers, such as the statistics of batch norm, those of rank 0 everywhere."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` over all processes."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value that rank 0 has."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value, group=self.cpu_group)
        return values

    def stop_signal(self, mine: int) -> int:
        """Return the signal that any process had received one call ago, 0 for none.

        All processes must leave at the same step, so they ask each other; each call takes the answer to the question
        that the call before it has sent, which is there by now, and so costs next to nothing.
        """
        if self.world_size == 1:
            return mine
        if self.pending is not None:
            self.pending.wait()
        answer = int(self.flag)
        self.flag.fill_(mine)
        self.pending = dist.all_reduce(self.flag, dist.ReduceOp.MAX, group=self.cpu_group, async_op=True)
        return answer


# {% include "distributed/common.py" %}
