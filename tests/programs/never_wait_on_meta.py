"""Trains on torch's `meta` device, and fails if a step would make the host wait for a GPU.

`python never_wait_on_meta.py OPTIONS...`, in a project, prints how many steps it has watched, in
fp32. A meta tensor has no values: whatever needs them on the host raises, and `Rules` and
`Constants` refuse what else would wait, or fail, on a GPU. The steps are the last one of a pass
over the data and the first one of the next, three times: with data on the device, and the loop at
its plainest; with data in the host's memory; with samples that are read one by one.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import main as script
import torch
from my_project import utils
from my_project.engine import runtime as runtime_module
from my_project.engine.loader import InMemory
from my_project.engine.logger import Logger
from my_project.engine.runtime import Runtime, start
from my_project.engine.scalars import stack
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")
BASE = ["--device", "cpu", "--precision", "fp32", "--quiet", "--log-every", "1000000"]
PLAIN = {"ema": 0.0, "grad_clip": 0.0, "grad_accum": 1}


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of an operation."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


class Rules(TorchDispatchMode):
    """Refuses operations on the device that are possible on meta, and wait or fail on a GPU."""

    steps = 0  # that were trained; during the first one, the data are moved

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operation.overloadpacket.__name__
        tensors = list(tensors_in([*args, *kwargs.values()]))
        on_device = [tensor for tensor in tensors if tensor.device == META]
        on_host = [tensor for tensor in tensors if tensor.device != META and tensor.dim()]
        if name == "copy_" and on_device and on_host:
            self.refuse(not (kwargs.get("non_blocking") or args[2:] == (True,)), "a copy")
        elif name == "_to_copy" and on_host and kwargs.get("device") == META:
            self.refuse(not kwargs.get("non_blocking"), "a copy")
        elif on_device and on_host:
            raise RuntimeError(f"{name}: a CPU tensor among the device's")
        if name.startswith(("index_put", "_index_put")) and args[2].numel() > 1:
            masks = [index for index in tensors_in(args[1]) if index.dtype == torch.bool]
            self.refuse(bool(masks), "several values put by a mask")
        if name in ("masked_fill", "masked_fill_"):
            self.refuse(isinstance(args[2], Tensor), "a value read from the device for a mask")
        self.refuse(name == "_linalg_check_errors", "a check of a result")
        return operation(*args, **kwargs)

    def refuse(self, waits: bool, what: str) -> None:
        if waits and self.steps:
            raise RuntimeError(f"{what} for which the host waits for the device")


class Constants(TorchFunctionMode):
    """Refuses tensors that are copied to the device from numbers in the host's memory."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            is_copied = torch.device(kwargs["device"]) == META and not isinstance(args[0], Tensor)
            rules.refuse(is_copied, "a tensor of numbers")
        return function(*args, **kwargs)


def watched_epoch(
    args: Any, runtime: Any, state: Any, loader: Any, objective: Any, logger: Any, checkpoint: Any
) -> None:
    """Train around the end of the first pass over the data."""
    first = loader.batches_per_pass - 1
    loader.steps_per_epoch = logger.steps_per_epoch = first + 2
    for way in ("device", "host", "reader"):
        options = args
        if way == "device":
            options = Namespace(**{**vars(args), **PLAIN})
        if way == "host":
            loader.tensors = None
            runtime.free_memory = lambda: 0
        if way == "reader" and isinstance(loader.dataset, InMemory):
            loader.dataset.transform = tuple
        loader.set_epoch(0, start_step=first)
        state.step = first
        with rules, Constants():
            train_one_epoch(options, runtime, state, loader, objective, logger, checkpoint)
    print(rules.steps)
    sys.exit(0)


def watched_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
    log_step(logger, state, **scalars)
    rules.steps += 1


def reduce(logger: Logger) -> None:
    """Do what the logger does on the device when a record is due; it has no values to read."""
    steps, rules.steps = rules.steps, 0  # here it may wait
    stack([scalar for _, _, scalar in logger.pending], META)
    logger.pending = []
    rules.steps = steps


def unfused(*args: Any, fused: bool, **options: Any) -> torch.optim.AdamW:
    """Return AdamW without its fused kernel, which meta lacks."""
    return AdamW(*args, **options)


rules = Rules()
train_one_epoch, log_step, AdamW = script.train_one_epoch, Logger.log_step, utils.AdamW
script.train_one_epoch = watched_epoch
utils.AdamW = unfused
Logger.log_step = watched_log_step
Logger.reduce = reduce
Runtime.autocast = lambda runtime: nullcontext()
runtime_module.find_device = lambda *_: META
arguments = script.parse_arguments([*BASE, *sys.argv[1:]])
arguments.workers = 0  # of those tasks that have any
with start(arguments) as started:
    script.main(arguments, started)
