"""FSDP2: each process holds a part, a shard, of every weight, gradient and optimizer state."""

import sys
from argparse import Namespace
from collections import Counter
from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from ..models import BLOCKS
# {% if own.batch_norm %}
from .errors import UserError
# {% endif %}
from .runtime import Runtime
from .sharded import read_shards, shard_like
from .terminal import say


def place_model(args: Namespace, runtime: Runtime, model: nn.Module) -> nn.Module:
    # {% if own.batch_norm %}
    """Return the model sharded on the devices, its batch norm synchronized if that is asked for.

    The weights of each block of BLOCKS in models.py are gathered just before it computes, in the
    chosen precision. Gradients are averaged in fp32.
    """
    # {% else %}
    """Return the model sharded on the devices.

    The weights of each block of BLOCKS in models.py are gathered just before it computes, in the
    chosen precision. Gradients are averaged in fp32.
    """
    # {% endif %}
    from torch.distributed.device_mesh import init_device_mesh  # slow to import
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # {% if own.batch_norm %}
    if args.sync_batch_norm and runtime.processes.world_size > 1:
        if runtime.device.type != "cuda":
            raise UserError("--sync-batch-norm works on GPUs only")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    # {% endif %}
    if not runtime.processes.launched:
        return model.to(runtime.device)
    model = model.to(memory_format=torch.contiguous_format)  # FSDP2 refuses channels_last
    mesh = init_device_mesh(runtime.device.type, (runtime.processes.world_size,))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(runtime.precision)
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32 if dtype else None)
    for module in reversed(list(model.modules())):  # inner ones first
        if dtype and isinstance(module, _BatchNorm):
            fully_shard(module, mesh=mesh)  # in fp32, as its statistics are
        elif module is model or isinstance(module, BLOCKS):
            fully_shard(module, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    return model


def parallelize(args: Namespace, runtime: Runtime, model: nn.Module) -> nn.Module:
    """Return a placed model ready to train: compiled if --compile asks for it."""
    if runtime.processes.world_size > 1 and runtime.processes.rank == 0:
        warn_without_blocks(model)
    trained: Any = torch.compile(model) if args.compile else model
    return trained


def warn_without_blocks(model: nn.Module) -> None:
    """Print a warning if the model repeats a block and BLOCKS lists none of its modules."""
    numbers: Counter[str] = Counter()
    for module in model.modules():  # outer ones first
        if isinstance(module, BLOCKS):
            return
        is_container = type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        if len(list(module.children())) > 1 and not is_container:
            numbers[type(module).__name__] += 1
    for name, number in numbers.items():
        if number > 1:
            say(
                f"warning: the model repeats {name} {number} times, but BLOCKS in models.py lists "
                "no module of it: every process gathers all of its weights at once",
                sys.stderr,
            )
            break


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside torch.compile."""
    return getattr(model, "_orig_mod", model)


def set_gradient_sync(model: nn.Module, enabled: bool) -> None:
    """Let the next backward pass average gradients over the processes, or only accumulate."""
    module: Any = unwrap(model)
    if hasattr(module, "set_requires_gradient_sync"):  # sharded
        module.set_requires_gradient_sync(enabled)


def sync_buffers(runtime: Runtime, model: nn.Module) -> None:
    """Give every process the buffers of rank 0, such as the statistics of batch norm."""
    if runtime.processes.launched:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def get_state_dict(state: Any) -> dict[str, Any]:
    """Return the fields of a TrainState, by their state_dict if they have one; tensors are sharded.

    If two fields share a module, they share its state_dict.
    """
    saved: dict[str, Any] = {}
    modules: dict[nn.Module, dict[str, Any]] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, nn.Module):
            module = unwrap(value)
            if module not in modules:
                modules[module] = module.state_dict()
            saved[field.name] = modules[module]
        else:
            saved[field.name] = value.state_dict() if hasattr(value, "state_dict") else value
    return saved


def set_state_dict(state: Any, saved: dict[str, Any]) -> None:
    """Load the fields of a TrainState from whole tensors, or from shards."""
    parts: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        part = saved[field.name]
        if isinstance(value, nn.Module):
            part = shard_weights(unwrap(value), part)
        elif isinstance(value, Optimizer):
            part = shard_optimizer_state(value, part)
        parts[field.name] = part
    read_shards(saved, parts)
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, nn.Module):
            value = unwrap(value)
        if hasattr(value, "load_state_dict"):
            value.load_state_dict(parts[field.name])
        else:
            setattr(state, field.name, parts[field.name])


def set_weights(model: nn.Module, saved: dict[str, Any], strict: bool = True) -> None:
    """Load the weights of a checkpoint that were evaluated: averaged ones if there are any.

    If not `strict`, some may be missing.
    """
    model = unwrap(model)
    weights = shard_weights(model, saved["ema_model"])
    read_shards(saved, {"ema_model": weights})
    model.load_state_dict(weights, strict=strict)


def shard_weights(model: nn.Module, saved: dict[str, Any]) -> dict[str, Any]:
    """Return saved weights, sharded as those of the model are."""
    own = model.state_dict()
    weights = {}
    for name, value in saved.items():
        weights[name] = shard_like(own.get(name), value)
    return weights


def shard_optimizer_state(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """Return the saved state of an optimizer, sharded as its parameters are."""
    parameters: list[Tensor] = []
    for group in optimizer.param_groups:
        parameters.extend(group["params"])
    states: dict[int, dict[str, Any]] = {}
    for index, values in saved["state"].items():
        states[index] = {}
        for name, value in values.items():
            states[index][name] = shard_like(parameters[index], value)
    return {**saved, "state": states}
