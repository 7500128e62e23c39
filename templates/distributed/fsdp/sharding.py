"""How FSDP2 divides a model between processes, and how its parts are saved and loaded, whole or in shards."""

import re
import shutil
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.modules.batchnorm import _BatchNorm

from options import UserError

warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # by a single process
DIVIDED = ("model", "ema", "optimizer")  # the parts of a run that are divided


def shard(model: nn.Module, mesh: DeviceMesh, low: torch.dtype | None) -> None:
    """Divide `model` over the processes of `mesh`: its blocks one by one, then what is left.

    Weights come together in the precision `low`, if any, just before a block computes; gradients are summed in fp32.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)] if low else []
    for norm in norms:
        fully_shard(norm, mesh=mesh)  # in fp32, as its statistics are
    policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32 if low else None)
    for block in [*find_blocks(model), model]:
        if block not in norms:
            fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=True)


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """Return what stands in the lists of `model` that are named for blocks or layers, inner ones first."""
    lists = [
        module
        for name, module in model.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and re.search("block|layer", name.rpartition(".")[2])
    ]
    return [block for blocks in reversed(lists) for block in blocks if any(True for _ in block.parameters())]


def divided_states(parts: dict[str, Any], options: StateDictOptions | None = None) -> dict[str, Any]:
    """Return the states of those parts that are divided; averaged weights only where they are not the model's own."""
    states: dict[str, Any] = {}
    for name in ("model", "ema"):
        if name in parts and not (name == "ema" and parts["ema"] is parts.get("model")):
            states[name] = get_model_state_dict(parts[name], options=options)
    if "optimizer" in parts:
        states["optimizer"] = get_optimizer_state_dict(parts["model"], parts["optimizer"], options=options)
    return states


def load_states(parts: dict[str, Any], states: dict[str, Any], folder: Path) -> None:
    """Put `states`, whole ones or those whose shards stand in `folder`, back into the parts."""
    options = StateDictOptions(full_state_dict="shards" not in states)
    if "shards" in states:
        own = divided_states(parts)
        reader = dcp.FileSystemReader(folder / states["shards"])
        averaged = any(name.startswith("ema.") for name in reader.read_metadata().state_dict_metadata)
        stored = {"model" if name == "ema" and not averaged else name: state for name, state in own.items()}
        try:
            dcp.load(stored, storage_reader=reader, no_dist=not dist.is_initialized())  # into the tensors of `own`
        except dcp.CheckpointException:
            where = folder / states["shards"]
            raise UserError(f"{where} is damaged; without last.pt, a run goes on from previous.pt") from None
        states = {**states, "ema": own.get("model"), **own}
    for name, part in parts.items():
        if name == "optimizer":
            set_optimizer_state_dict(parts["model"], part, states[name], options=options)
        elif name in DIVIDED:
            set_model_state_dict(part, states[name], options=options)
        else:
            part.load_state_dict(states[name])


def remove_strays(folder: Path) -> None:
    """Remove the folders of shards that no checkpoint in `folder` names."""
    files = [torch.load(path, mmap=True, map_location="cpu", weights_only=True) for path in folder.glob("*.pt")]
    for stray in set(folder.glob("shards-*")) - {folder / file.get("shards", "") for file in files}:
        shutil.rmtree(stray, ignore_errors=True)


class States:
    """Saves and loads the parts of a run for a `group` of processes, whole or, where `sharded`, in shards."""

    def __init__(self, group: Any, sharded: bool):
        self.group, self.sharded = group, sharded
        self.saving: Future[None] | None = None  # what is being written meanwhile
        self.thread = ThreadPoolExecutor(1)
        self.writers: Any = None  # a process group of their own for the threads that write

    def save(self, folder: Path, parts: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        """Give the states of all parts to `write`, on rank 0, where what is divided comes together.

        Where `sharded`, each process writes its shards to a folder in `folder` while the training goes on, and `write`
        gets the name of that as soon as it is complete.
        """
        states = {name: part.state_dict() for name, part in parts.items() if name not in DIVIDED}
        if not self.sharded:
            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            whole = divided_states(parts, options)
            self.group.on_rank_zero(write, {**states, "ema": whole["model"], **whole})
            return
        weights = [
            tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in parts["model"].parameters()
        ]
        if not all(self.group.gather(all(bool(tensor.isfinite().all()) for tensor in weights))):
            raise UserError("the weights have become infinite or NaN: try a lower --lr, or --clip")
        states = deepcopy(states)  # as they are now, whatever the training changes until they are written
        self.finish_saving()
        if dist.is_initialized() and self.writers is None:
            self.writers = dist.new_group(backend="gloo", timeout=self.group.timeout)
        shards = folder / self.group.broadcast(f"shards-{time.time_ns()}")
        pending: Any = dcp.async_save(
            divided_states(parts),  # copied before this returns
            checkpoint_id=shards,
            process_group=self.writers,
            planner=dcp.DefaultSavePlanner(dedup_save_to_lowest_rank=True),  # what all have alike is rank 0's
            no_dist=not dist.is_initialized(),
        )

        def commit() -> None:
            pending.result()  # on rank 0, this means that all ranks are done
            if self.group.rank == 0:
                write({**states, "shards": shards.name})
                remove_strays(folder)

        self.saving = self.thread.submit(commit)

    def finish_saving(self) -> None:
        """Wait for what is being written; end the run where that has failed on any rank."""
        if self.saving is not None:
            saving, self.saving = self.saving, None
            error = saving.exception()
            errors = [text for text in self.group.gather(str(error or "")) if text]
            if errors:
                raise UserError(f"cannot write the shards: {errors[0].strip().splitlines()[-1]}")

    def load(self, parts: dict[str, Any], read: Callable[[], tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
        """Put the states that `read` finds, on rank 0, back into the parts; return all that it found."""
        self.finish_saving()
        folder, states = self.group.on_rank_zero(read)
        if states:
            load_states(parts, states, folder)
        return states
