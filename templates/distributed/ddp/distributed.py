"""DistributedDataParallel: a copy of the model in each process, with averaged gradients."""

from argparse import Namespace
from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# {% if own.batch_norm %}
from .errors import UserError
# {% endif %}
from .runtime import Runtime


def place_model(args: Namespace, runtime: Runtime, model: nn.Module) -> nn.Module:
    # {% if own.batch_norm %}
    """Return the model on the device, with synchronized batch norm after --sync-batch-norm."""
    model = model.to(runtime.device)
    if not args.sync_batch_norm or runtime.processes.world_size == 1:
        return model
    if runtime.device.type != "cuda":
        raise UserError("--sync-batch-norm works on GPUs only")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    # {% else %}
    """Return the model on the device."""
    return model.to(runtime.device)
    # {% endif %}


def parallelize(args: Namespace, runtime: Runtime, model: nn.Module) -> nn.Module:
    """Return a placed model ready to train: compiled after --compile, with averaged gradients."""
    trained: Any = torch.compile(model) if args.compile else model
    if not runtime.processes.launched:
        return trained
    device_ids = [runtime.processes.local_rank] if runtime.device.type == "cuda" else None
    return DistributedDataParallel(trained, device_ids=device_ids, gradient_as_bucket_view=True)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside DistributedDataParallel and torch.compile."""
    if isinstance(model, DistributedDataParallel):
        model = model.module
    return getattr(model, "_orig_mod", model)


def set_gradient_sync(model: nn.Module, enabled: bool) -> None:
    """Let the next backward pass average gradients over the processes, or only accumulate."""
    if isinstance(model, DistributedDataParallel):
        model.require_backward_grad_sync = enabled


def sync_buffers(runtime: Runtime, model: nn.Module) -> None:
    """Give every process the buffers of rank 0, such as the statistics of batch norm."""
    if runtime.processes.launched:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


# {% include "distributed/state_dict.py" %}
