"""Run directories and checkpoints: written whole, verified when read, exact to resume from."""

import contextlib
import json
import os
import shutil
import time
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from .distributed import get_state_dict, set_state_dict, set_weights
from .errors import UserError
from .files import replacing, write_text
from .logger import Logger
from .options import to_save
from .runtime import Runtime
# {% if cookiecutter.distributed == "fsdp" %}
from .sharded import ShardWriter, gather_tensors, locate_shards, verify_shards
# {% endif %}

# What a damaged file raises while it is read.
DAMAGED = (OSError, EOFError, KeyError, RuntimeError, UnpicklingError, ValueError)
DAMAGED += (zipfile.BadZipFile,)


def create_run_dir(args: Namespace, resources: contextlib.ExitStack) -> Path:
    """Create the run directory, or take the one to resume, and lock it until the run ends.

    Raises UserError if it holds another run, is in use, or cannot be written to.
    """
    from filelock import FileLock, Timeout

    try:
        run_dir = args.run_dir or new_run_dir(args)
        run_dir.mkdir(parents=True, exist_ok=True)
        resources.enter_context(FileLock(run_dir / ".lock", timeout=0))
        new = not (run_dir / "config.json").exists()
        if not new and not args.resume:
            raise UserError(
                f"{run_dir} holds a run: continue it with --resume, or choose another --run-dir"
            )
        if new:
            resources.callback(forget_failed_start, run_dir)
        if not args.evaluate:  # a run to resume has this folder
            (run_dir / "checkpoints").mkdir(exist_ok=True)
        for folder in (run_dir, run_dir / "checkpoints"):
            for partial in folder.glob("*.tmp.*"):  # of a run that was killed
                partial.unlink()
        write_options(run_dir / "config.json", args)
    except Timeout:
        raise UserError(f"{run_dir} is in use by another process") from None
    except OSError as error:
        raise UserError(
            f"cannot use {error.filename} for the run directory: {error.strerror}"
        ) from None
    return run_dir


def forget_failed_start(run_dir: Path) -> None:
    """Leave no run if nothing was recorded, or --resume would take it for the newest one."""
    if not (run_dir / "metrics.jsonl").exists():
        (run_dir / "config.json").unlink(missing_ok=True)


def new_run_dir(args: Namespace) -> Path:
    """Create a directory in runs/, named after the data, the model and the time."""
    home = Path("runs")
    if args.evaluate:
        home = args.evaluate.parent.parent / "evaluations"
    name = f"{args.dataset}-{args.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):  # other runs may start in the same second
        run_dir = home / (name if attempt == 1 else f"{name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            run_dir.mkdir(parents=True)
            break
    return run_dir


def write_options(path: Path, args: Namespace) -> None:
    """Write the options that --config, --resume and --evaluate read."""
    text = json.dumps(to_save(args), indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint after verifying the checksum of every byte.

    Raises UserError if it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself accepts flipped bits
            damaged = archive.testzip()
        if damaged is None:
            # {% if cookiecutter.distributed == "fsdp" %}
            saved = torch.load(path, map_location="cpu", weights_only=True)
            locate_shards(saved, path)
            return saved
            # {% else %}
            return torch.load(path, map_location="cpu", weights_only=True)
            # {% endif %}
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    except DAMAGED:
        pass
    raise UserError(f"{path} is damaged, or not a checkpoint")


class Checkpoint:
    """Saves and loads the state of a run.

    `last.pt` is the newest state, `previous.pt` the one before it, and `best.pt` the one of the
    best epoch. A file holds the fields of TrainState, the random states and the logger's running
    sums.
    # {% if cookiecutter.distributed != "none" %}
    All processes call its methods; rank 0 reads and writes.
    # {% endif %}
    """

    def __init__(self, runtime: Runtime, run_dir: Path):
        self.runtime = runtime
        self.folder = run_dir / "checkpoints"
        # {% if cookiecutter.distributed == "fsdp" %}
        self.shard_writer = ShardWriter(runtime.processes, self.folder)
        # {% endif %}

    def save(self, state: Any, logger: Logger, is_best: bool = False) -> None:
        """Save the state as last.pt, and as best.pt if it is the best one."""
        logger.reduce()  # a loss that is NaN ends the run here
        saved = get_state_dict(state)
        saved["logger"] = logger.state_dict()
        # {% if cookiecutter.distributed == "none" %}
        saved["random"] = [self.runtime.get_random_state()]
        self.write(saved, is_best)
        # {% else %}
        saved["random"] = self.runtime.processes.gather(self.runtime.get_random_state())
        # {% endif %}
        # {% if cookiecutter.distributed == "fsdp" %}
        if self.runtime.processes.sharded_checkpoints:
            self.shard_writer.save(saved, self.write, is_best)
            return
        self.shard_writer.finish()
        saved = gather_tensors(saved)
        # {% endif %}
        # {% if cookiecutter.distributed != "none" %}
        with self.runtime.processes.rank0_first():  # its UserError is everyone's
            if self.runtime.processes.rank == 0:
                self.write(saved, is_best)
        # {% endif %}

    def write(self, saved: dict[str, Any], is_best: bool) -> None:
        """Write last.pt and best.pt, and keep the last.pt before.

        Raises UserError if that is impossible.
        """
        check_finite(saved)
        last = self.folder / "last.pt"
        try:
            with replacing(last) as temporary:
                torch.save(saved, temporary)
                if is_best:
                    with replacing(self.folder / "best.pt") as copy:
                        shutil.copyfile(temporary, copy)
                if last.exists():
                    os.replace(last, self.folder / "previous.pt")
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the disk is full
            raise UserError(f"cannot write {last}: {error}") from None

    def load_latest(self, state: Any, logger: Logger) -> None:
        """Load the newest undamaged checkpoint; without any, `state` stays as it is."""
        # {% if cookiecutter.distributed == "none" %}
        paths = self.find_latest()
        # {% else %}
        paths = self.runtime.processes.run_on_rank0(self.find_latest)
        # {% endif %}
        if not paths:
            return
        saved = None
        for path in paths:
            try:
                # {% if cookiecutter.distributed == "none" %}
                saved = read_checkpoint(path)
                # {% else %}
                saved = self.runtime.processes.run_on_rank0(read_checkpoint, path)
                # {% endif %}
                # {% if cookiecutter.distributed == "fsdp" %}
                verify_shards(saved)
                # {% endif %}
                break
            except UserError as error:
                # {% if cookiecutter.distributed == "fsdp" %}
                saved = None
                # {% endif %}
                logger.warn(str(error))
        if saved is None:
            raise UserError(
                f"no checkpoint in {self.folder} is whole; start anew with another --run-dir"
            )
        with explain_mismatch(path):
            set_state_dict(state, saved)
            logger.load_state_dict(saved["logger"])
        # {% if cookiecutter.distributed == "none" %}
        self.runtime.set_random_state(saved["random"][0])
        # {% else %}
        rank = self.runtime.processes.rank
        if rank < len(saved["random"]):  # a rank that is new keeps its own
            self.runtime.set_random_state(saved["random"][rank])
        # {% endif %}

    def find_latest(self) -> list[Path]:
        """Return the checkpoints to resume from, the newest first."""
        paths = [self.folder / "last.pt", self.folder / "previous.pt"]
        return [path for path in paths if path.exists()]

    def load_best(self, model: nn.Module) -> None:
        """Load the weights of the best epoch, or of the last one if no metric was finite."""
        # {% if cookiecutter.distributed == "fsdp" %}
        self.shard_writer.finish()
        # {% endif %}
        path = self.folder / "best.pt"
        if not path.exists():
            path = self.folder / "last.pt"
        # {% if cookiecutter.distributed == "none" %}
        saved = read_checkpoint(path)
        # {% else %}
        saved = self.runtime.processes.run_on_rank0(read_checkpoint, path)
        # {% endif %}
        with explain_mismatch(path):
            set_weights(model, saved)

    def load_weights(self, path: Path, model: nn.Module) -> None:
        """Load the weights of any checkpoint, those that were evaluated."""
        # {% if cookiecutter.distributed == "none" %}
        saved = read_checkpoint(path)
        # {% else %}
        saved = self.runtime.processes.run_on_rank0(read_checkpoint, path)
        # {% endif %}
        with explain_mismatch(path):
            set_weights(model, saved)


@contextlib.contextmanager
def explain_mismatch(path: Path) -> Iterator[None]:
    """Turn an error of a checkpoint that does not fit this run into a UserError."""
    try:
        yield
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} does not fit this run: {reason}") from error


def check_finite(saved: dict[str, Any]) -> None:
    """Raise UserError if a weight is infinite or NaN; a mask in a buffer may hold -inf."""
    for part in saved.values():
        values = part.values() if isinstance(part, dict) else ()
        for tensor in values:
            # {% if cookiecutter.distributed == "fsdp" %}
            if isinstance(tensor, Tensor) and tensor.is_meta:  # was checked as shards
                continue
            # {% endif %}
            if isinstance(tensor, Tensor) and (tensor.isnan() | tensor.isposinf()).any():
                raise UserError(
                    "the weights have become infinite or NaN: try a lower --lr, or --grad-clip"
                )
