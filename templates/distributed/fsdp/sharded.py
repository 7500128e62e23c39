"""Sharded tensors in checkpoints: gathered to whole ones, or written by each process as they are.

With --sharded-checkpoints, all processes write to a folder `shards-<time>` beside the checkpoint,
in the format of torch.distributed.checkpoint. The checkpoint itself holds the rest of the state, an
empty tensor on the device "meta" for each one that is in the folder, and the folder's name with the
digests of its files.
"""

import hashlib
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .batch import map_tensors
from .errors import UserError
from .files import flush_folder
from .processes import Processes


def is_sharded(value: Any) -> bool:
    """Return whether a value is a tensor of which this process holds a part."""
    from torch.distributed.tensor import DTensor  # slow to import

    return isinstance(value, DTensor)


def named_tensors(part: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the path of each tensor of a nest, such as "model.head.weight", with the tensor."""
    if isinstance(part, Tensor):
        yield name, part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from named_tensors(value, f"{name}.{key}")
    elif isinstance(part, (list, tuple)):
        for index, value in enumerate(part):
            yield from named_tensors(value, f"{name}.{index}")


def map_parts(function: Callable[[Any], Tensor], saved: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `saved` with `function` applied to each tensor.

    A part that has two names is still the same one.
    """
    copies: dict[int, Any] = {}
    for part in saved.values():
        if id(part) not in copies:
            copies[id(part)] = map_tensors(function, part)
    return {name: copies[id(part)] for name, part in saved.items()}


def first_name(saved: dict[str, Any], name: str) -> str:
    """Return the first name of the part `saved[name]`."""
    return next(other for other in saved if saved[other] is saved[name])


def gather_tensors(saved: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `saved` with whole tensors, on the CPU; of sharded ones on rank 0 alone."""

    def gather(tensor: Any) -> Tensor:
        if not is_sharded(tensor):
            return tensor.detach().to("cpu", copy=True)
        whole = tensor.full_tensor()  # of a single process, it is no copy
        if dist.get_rank() != 0:
            return torch.empty(0)
        return whole.to("cpu", copy=dist.get_world_size() == 1)

    return map_parts(gather, saved)


def shard_like(tensor: Any, saved: Any) -> Any:
    """Return this process's part of a saved tensor if `tensor` is sharded and of its shape.

    If the saved tensor has no data, neither has the part: `read_shards` reads them.
    """
    from torch.distributed.tensor import distribute_tensor  # slow to import

    if not isinstance(saved, Tensor):
        return saved
    if is_sharded(tensor) and saved.shape == tensor.shape:
        if saved.is_meta:
            return torch.empty_like(tensor, dtype=saved.dtype, requires_grad=False)
        # Each process has the whole tensor, so that it takes its part without communication.
        part = distribute_tensor(saved, tensor.device_mesh, tensor.placements, src_data_rank=None)
        return part.clone()  # a view would keep the whole tensor in memory
    return torch.empty_like(saved, device="cpu") if saved.is_meta else saved


def locate_shards(saved: dict[str, Any], path: Path) -> None:
    """Note the folder of the shards of the checkpoint that was read from `path`.

    Raises ValueError if it has a name that no run gives.
    """
    if "shards" in saved:
        name = saved["shards"]["name"]
        if not re.fullmatch(r"shards-\d+", name):
            raise ValueError(f"{name} is no folder of shards")
        saved["shards"] = {**saved["shards"], "folder": str(path.parent / name), "verified": False}


def verify_shards(saved: dict[str, Any]) -> None:
    """Verify the digests of the shards of a checkpoint; each process reads some of the files.

    Raises UserError on all ranks if a file is damaged or missing.
    """
    shards = saved.get("shards")
    if shards is None:
        return
    rank, world_size = 0, 1
    if dist.is_initialized():
        rank, world_size = dist.get_rank(), dist.get_world_size()
    damaged = ""
    for name in sorted(shards["digests"])[rank::world_size]:
        path = Path(shards["folder"]) / name
        try:
            if get_digest(path) != shards["digests"][name]:
                damaged = f"{path} is damaged"
        except OSError as error:
            damaged = f"cannot read {path}: {error.strerror}"
    messages = [damaged] * world_size
    if dist.is_initialized():
        dist.all_gather_object(messages, damaged)
    raise_first(messages)
    shards["verified"] = True


def raise_first(messages: list[str]) -> None:
    """Raise UserError, on all ranks, with the first of all ranks' messages that is not empty."""
    for message in messages:
        if message:
            error = UserError(message)
            error.on_all_ranks = True  # rank 0 alone reports it
            raise error


def get_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        chunk = file.read(2**20)
        while chunk:
            digest.update(chunk)
            chunk = file.read(2**20)
    return digest.hexdigest()


def read_shards(saved: dict[str, Any], parts: dict[str, Any]) -> None:
    """Read the data of the tensors of `parts` that have none in `saved`, the checkpoint.

    They may be sharded over another number of processes than wrote them. Raises UserError if a
    shard is damaged, ValueError if one does not fit.
    """
    import torch.distributed.checkpoint as dcp  # slow to import

    if "shards" not in saved:
        return
    if not saved["shards"]["verified"]:  # they hold a pickle
        verify_shards(saved)
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # in one process
    for name, part in parts.items():
        first = first_name(saved, name)
        tensors = dict(named_tensors(part, first))
        for path, tensor in named_tensors(saved[name], first):
            if not tensor.is_meta:
                del tensors[path]
        if tensors:
            reader = dcp.FileSystemReader(saved["shards"]["folder"])
            try:
                dcp.load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
            except dcp.CheckpointException as error:
                raise ValueError(str(error)) from None


class ShardWriter:
    """Writes sharded checkpoints in the background, while the training continues.

    A checkpoint is complete, and takes its place, when all processes have written their shards.
    """

    def __init__(self, processes: Processes, folder: Path):
        self.processes = processes
        self.folder = folder
        self.thread = ThreadPoolExecutor(1)
        self.group: Any = None  # a process group for the threads alone
        self.writing: Future[None] | None = None
        processes.before_close.append(self.close)

    def save(self, saved: dict[str, Any], write: Callable[..., None], is_best: bool) -> None:
        """Copy the state, then write its shards and, with `write`, the checkpoint on rank 0.

        Raises UserError if a weight is infinite or NaN, or if the save before has failed.
        """
        import torch.distributed.checkpoint as dcp  # slow to import

        self.check_finite(saved)
        self.finish()
        if self.group is None:
            self.group = dist.new_group(backend="gloo", timeout=self.processes.timeout)
        name = self.processes.broadcast(f"shards-{time.time_ns()}")
        tensors = {}
        for part_name, part in saved.items():
            for path, tensor in named_tensors(part, first_name(saved, part_name)):
                if is_sharded(tensor):
                    tensors[path] = tensor
        rest = map_parts(copy_rest, saved)
        folder = self.folder / name
        pending = dcp.async_save(tensors, checkpoint_id=folder, process_group=self.group)
        write_rest = partial(write, rest, is_best)
        self.writing = self.thread.submit(self.complete, pending, folder, rest, write_rest)

    def check_finite(self, saved: dict[str, Any]) -> None:
        """Raise UserError on all ranks if a weight is infinite or NaN."""
        is_finite = True
        for part in saved.values():
            for tensor in part.values() if isinstance(part, dict) else ():
                if is_sharded(tensor):
                    local = tensor.to_local()
                    is_finite &= not bool((local.isnan() | local.isposinf()).any())
        advice = "the weights have become infinite or NaN: try a lower --lr, or --grad-clip"
        raise_first(self.processes.gather("" if is_finite else advice))

    def complete(
        self, pending: Any, folder: Path, rest: dict[str, Any], write_rest: Callable[[], None]
    ) -> None:
        """Wait for the shards, collect their digests, and write the checkpoint on rank 0."""
        pending.result()
        digests, problem = {}, ""
        try:
            for path in folder.glob(f"__{self.processes.rank}_*"):
                digests[path.name] = get_digest(path)
        except OSError as error:  # the others would wait for this process's digests
            problem = f"cannot read the shards in {folder}: {error.strerror}"
        gathered: list[Any] = [None] * self.processes.world_size
        dist.all_gather_object(gathered, (digests, problem), group=self.group)
        raise_first([problem for _, problem in gathered])
        if self.processes.rank != 0:
            return
        for others, _ in gathered:
            digests.update(others)
        digests[".metadata"] = get_digest(folder / ".metadata")
        rest["shards"] = {"name": folder.name, "digests": digests}
        flush_folder(folder)
        write_rest()
        self.remove_strays()

    def remove_strays(self) -> None:
        """Remove the folders of shards that no checkpoint names, such as those of a killed run."""
        kept = set()
        for path in self.folder.glob("*.pt"):
            try:
                saved = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
                kept.add(saved["shards"]["name"])
            except OSError:  # no reason to remove what it may name
                return
            except Exception:  # damaged, or without shards
                continue
        for folder in self.folder.glob("shards-*"):
            if re.fullmatch(r"shards-\d+", folder.name) and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def finish(self) -> None:
        """Wait until the last checkpoint is complete. Raises UserError if that has failed."""
        if self.writing is None:
            return
        error = self.writing.exception()
        self.writing = None
        message = ""
        if isinstance(error, UserError):
            message = str(error)
        elif error is not None:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            message = f"cannot write shards to {self.folder}: {reason}"
        raise_first(self.processes.gather(message))

    def close(self) -> None:
        """Finish the last checkpoint, and let go of the process group."""
        self.finish()
        self.thread.shutdown()
        self.group = None


def copy_rest(tensor: Any) -> Tensor:
    """Return a copy of a tensor on the CPU; if it is sharded, one of its shape without data."""
    if is_sharded(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return tensor.detach().to("cpu", copy=True)
