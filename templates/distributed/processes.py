"""The process group: ranks, collective operations, and one decision for all processes."""

import gc
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from .environment import usable_cores
from .errors import UserError
from .scalars import Scalar, stack

EXCHANGE_SECONDS = 0.05  # between two exchanges of stop signals, if a step is shorter
MOST_CALLS = 16  # between two exchanges, as the steps may become longer


class Processes:
    """The processes that torchrun has started, on one machine or several.

    `python main.py` is a single process.

    Every method but `close` is collective: all processes call it in the same order.
    """

    def __init__(self, args: Namespace):
        variables = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
        self.launched = variables <= os.environ.keys()  # by torchrun, or by what sets the same ones
        if not self.launched and int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
            raise UserError(
                "srun has started several tasks, and each would train alone; start torchrun in "
                "one task for each machine, as example_runs/slurm.sbatch does"
            )
        self.rank = 0
        self.local_rank = 0
        self.world_size = 1
        if self.launched:
            self.rank = int(os.environ["RANK"])
            self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
            self.world_size = int(os.environ["WORLD_SIZE"])
        self.timeout = timedelta(seconds=args.dist_timeout)
        # {% if cookiecutter.distributed == "fsdp" %}
        self.sharded_checkpoints = args.sharded_checkpoints and self.launched
        self.before_close: list[Callable[[], None]] = []
        # {% endif %}

    def connect(self, device: torch.device) -> None:
        """Join the process group: NCCL between GPUs, gloo between CPUs."""
        if not self.launched:
            return
        if device.type == "mps" and self.world_size > 1:
            raise UserError("several processes cannot share the GPU of a Mac: add --device cpu")
        if device.type == "cpu":
            share_cores(int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        try:
            store, rank, world_size = next(rendezvous("env://", timeout=self.timeout))
            if os.environ.get("GROUP_WORLD_SIZE") == "1":
                # A restarted group must not look for the processes that died.
                store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=store,
                rank=rank,
                world_size=world_size,
                timeout=self.timeout,
                device_id=device if device.type == "cuda" else None,
            )
        except (dist.DistNetworkError, dist.DistStoreError):
            address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise UserError(
                f"process {self.rank} of {self.world_size} has not met the others at {address} "
                f"within {self.timeout.total_seconds():g} s (--dist-timeout)"
            ) from None
        self.cpu_group: Any = dist.new_group(backend="gloo", timeout=self.timeout)
        self.exchanged = torch.zeros(2, dtype=torch.float64)  # the stop signal, seconds of a call
        self.exchanged_at = time.perf_counter()
        self.pending: dist.Work | None = None
        self.calls = 0  # since the last exchange
        self.calls_between = 1  # two exchanges

    def close(self) -> None:
        """Leave the process group."""
        if not self.launched:
            return
        # {% if cookiecutter.distributed == "fsdp" %}
        for function in self.before_close:
            function()
        # {% endif %}
        if self.pending is not None:
            self.pending.wait()
        # Whatever still holds a group must go before the interpreter ends, or gloo's threads abort.
        self.cpu_group = self.pending = None
        dist.destroy_process_group()
        gc.collect()

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` over all processes, in place."""
        if self.launched:
            dist.all_reduce(values)
        return values

    def mean(self, value: Tensor | float, device: torch.device) -> Tensor:
        """Return the mean of a number over all processes; the host does not wait for the device."""
        return self.sum((torch.zeros((), device=device) + value).float()) / self.world_size

    def average(self, scalars: dict[str, Scalar], device: torch.device) -> dict[str, Scalar]:
        """Return the weighted mean of each scalar over all processes."""
        sums = self.sum(stack(list(scalars.values()), device))
        averages: dict[str, Scalar] = {}
        for name, (total, weight) in zip(scalars, sums, strict=True):
            averages[name] = total / weight, weight
        return averages

    def broadcast(self, value: Any) -> Any:
        """Return the value that rank 0 has."""
        values = [value]
        if self.launched:
            dist.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        values = [value] * self.world_size
        if self.launched:
            dist.all_gather_object(values, value, group=self.cpu_group)
        return values

    def run_on_rank0(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on rank 0; return its value, or raise its UserError, on every rank."""
        value: Any = None
        if self.rank == 0:
            try:
                value = function(*args)
            except UserError as error:
                value = error
        value = self.broadcast(value)
        if isinstance(value, UserError):
            value.on_all_ranks = True  # rank 0 alone reports it
            raise value
        return value

    @contextmanager
    def rank0_first(self) -> Iterator[None]:
        """A block that rank 0 runs before the others, as it may have to download a data set."""
        if self.rank == 0:
            error = None
            try:
                yield
            except UserError as raised:
                error = raised
            self.run_on_rank0(raise_error, error)
        else:
            self.run_on_rank0(raise_error, None)
            yield

    def agree_on_signal(self, received: int) -> int:
        """Return the stop signal that any process has received, 0 for none.

        All processes must stop at the same step. They exchange their signals by an all-reduce that
        the next call collects, as it is done by then. It takes longer than a very short step: calls
        that follow each other quickly share one. How many do, the slowest process decides.
        """
        if not self.launched:
            return received
        agreed = 0.0
        if self.pending is not None:
            self.pending.wait()
            self.pending = None
            agreed, seconds = self.exchanged.tolist()
            self.calls_between = min(max(int(EXCHANGE_SECONDS / seconds), 1), MOST_CALLS)
        self.calls += 1
        if self.calls >= self.calls_between:
            now = time.perf_counter()
            own = received, (now - self.exchanged_at) / self.calls
            self.exchanged.copy_(torch.tensor(own))
            self.pending = dist.all_reduce(
                self.exchanged, dist.ReduceOp.MAX, group=self.cpu_group, async_op=True
            )
            self.exchanged_at = now
            self.calls = 0
        return int(agreed)


def raise_error(error: UserError | None) -> None:
    """Raise an error, if there is one."""
    if error is not None:
        raise error


def share_cores(processes: int) -> None:
    """Divide the cores among the processes of this machine, unless OMP_NUM_THREADS is set.

    torchrun sets an unset OMP_NUM_THREADS to 1, so that 1 counts as unset.
    """
    if processes > 1 and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, usable_cores() // processes))
