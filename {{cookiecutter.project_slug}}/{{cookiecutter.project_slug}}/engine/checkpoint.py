"""Checkpoints: written whole, verified when read, exact to resume from."""

import contextlib
import os
import shutil
import zipfile
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from .checkpoint_writer import CheckpointWriter, is_large
from .distributed import get_state_dict, set_state_dict, set_weights, unwrap
from .errors import UserError
from .files import explain_write, replacing
from .identity import check_info, check_model, describe_fit, describe_other_data
from .logger import Logger
from .run_dir import find_weights
from .runtime import Runtime
# {% if cookiecutter.distributed == "fsdp" %}
from .sharded import ShardWriter, gather_tensors, locate_shards, verify_shards
# {% endif %}

# What a damaged file raises while it is read.
DAMAGED: tuple[type[Exception], ...]
DAMAGED = (OSError, EOFError, RuntimeError, UnpicklingError, zipfile.BadZipFile, zlib.error)
DAMAGED += (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)
# What the engine reads of a checkpoint; a project may add to TrainState.
CONTENT = {"model": dict, "ema_model": dict, "model_config": dict, "epoch": int, "step": int}
CONTENT |= {"logger": dict, "random": list}
MODEL_CONFIG = {"name": str, "arguments": dict, "info": dict}
LOGGER = {"interval", "epoch", "numbers", "seconds", "drawing_seconds"}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint after verifying every byte of the file, and check what it holds.

    Raises UserError if it is damaged, no checkpoint of a run, or has weights that are not finite.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise UserError(f"{path} is not a file")
    try:
        verify_archive(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        # {% if cookiecutter.distributed == "fsdp" %}
        locate_shards(saved, path)
        # {% endif %}
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    except DAMAGED:
        raise UserError(f"{path} is damaged, or not a checkpoint") from None
    problem = find_problem(saved)
    if problem:
        raise UserError(f"{path} is no checkpoint of this project: {problem}")
    try:
        check_finite(saved)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return saved


def verify_archive(path: Path) -> None:
    """Raise BadZipFile if a byte of a checkpoint has changed; torch.load accepts flipped bits.

    The checksums of a zip archive do not protect its directory: an entry that is marked as a folder
    or as compressed would be read as something else.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.external_attr or entry.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{entry.filename} has other attributes than torch gives")
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a checksum differs")


def find_problem(saved: Any) -> str:
    """Return what is wrong with the content of a checkpoint, or an empty string."""
    if not isinstance(saved, dict):
        return "it holds no dictionary"
    for name, kind in CONTENT.items():
        if not isinstance(saved.get(name), kind):
            return f"{name!r} is not there, or of another type"
    for name in ("optimizer", "scheduler", "scaler"):
        if not isinstance(saved.get(name, {}), dict):
            return f"{name!r} is no dictionary"
    for name, kind in MODEL_CONFIG.items():
        if not isinstance(saved["model_config"].get(name), kind):
            return f"the {name} of the model is not there, or of another type"
    if saved["epoch"] < 0 or saved["step"] < 0:
        return "it counts less than no steps"
    if not saved["logger"].keys() >= LOGGER:
        return "the sums of the logger are not whole"
    for state in saved["random"]:
        if not isinstance(state, (list, tuple)) or len(state) != 2 or not is_bytes(state[0]):
            return "a random state is of another type"
    return ""


def is_bytes(value: Any) -> bool:
    """Return whether a value is a tensor of bytes, as random states are."""
    return isinstance(value, Tensor) and value.dtype == torch.uint8


class Checkpoint:
    """Saves and loads the state of a run.

    `last.pt` is the newest state, `previous.pt` the one before it, and `best.pt` the one of the
    best epoch. A file holds the fields of TrainState, the random states and the logger's running
    sums.
    # {% if cookiecutter.distributed != "none" %}
    All processes call its methods; rank 0 reads and writes.
    # {% endif %}
    """

    def __init__(self, args: Namespace, runtime: Runtime, run_dir: Path):
        self.args = args
        self.runtime = runtime
        self.folder = run_dir / "checkpoints"
        args.run_dir = run_dir  # an error of memory tells to resume this run
        self.writer = CheckpointWriter(self.write)
        runtime.resources.callback(self.writer.thread.shutdown)
        # {% if cookiecutter.distributed == "fsdp" %}
        self.shard_writer = ShardWriter(runtime.processes, self.folder)
        runtime.resources.callback(self.shard_writer.thread.shutdown)
        # {% endif %}

    def save(self, state: Any, logger: Logger, is_best: bool = False) -> None:
        """Save the state as last.pt, and as best.pt if it is the best one."""
        logger.reduce()  # a loss that is NaN ends the run here
        saved = get_state_dict(state)
        saved["logger"] = logger.state_dict()
        # {% if cookiecutter.distributed == "none" %}
        saved["random"] = [self.runtime.get_random_state()]
        self.writer.finish()
        if self.runtime.stopping or not is_large(saved):
            self.write(saved, is_best)
        else:
            self.writer.start(saved, is_best)
        # {% else %}
        saved["random"] = self.runtime.processes.gather(self.runtime.get_random_state())
        # {% endif %}
        # {% if cookiecutter.distributed == "fsdp" %}
        if self.runtime.processes.sharded_checkpoints:
            self.shard_writer.save(saved, self.write, is_best)
            if self.runtime.stopping:
                self.shard_writer.finish()
            return
        saved = gather_tensors(saved)
        # {% endif %}
        # {% if cookiecutter.distributed != "none" %}
        with self.runtime.processes.rank0_first():  # its UserError is everyone's
            if self.runtime.processes.rank == 0:
                self.writer.finish()
                if self.runtime.stopping or not is_large(saved):
                    self.write(saved, is_best)
                else:
                    self.writer.start(saved, is_best)
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
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "inline_container" not in str(error):
                raise  # not of torch's writer of files
            raise UserError(f"cannot write {last}: {explain_write(self.folder, error)}") from None

    def load_start(self, state: Any, logger: Logger) -> None:
        """Load what the training starts from: with --resume, the newest undamaged checkpoint.

        Without any, it is the weights of --init-from.
        """
        # {% if cookiecutter.distributed == "none" %}
        paths = self.find_latest()
        # {% else %}
        paths = self.runtime.processes.run_on_rank0(self.find_latest)
        # {% endif %}
        if not paths:
            if self.args.init_from:
                self.load_initial(state, logger)
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
        if saved["epoch"] > self.args.epochs:
            raise UserError(f"--epochs {self.args.epochs}: {saved['epoch']} epochs are done")
        self.check_data(saved, state)
        with explain_mismatch(path):
            set_state_dict(state, saved)
            logger.load_state_dict(saved["logger"])
        refresh_lr(state)
        # {% if cookiecutter.distributed == "none" %}
        self.runtime.set_random_state(saved["random"][0])
        # {% else %}
        rank = self.runtime.processes.rank
        if rank < len(saved["random"]):  # a rank that is new keeps its own
            self.runtime.set_random_state(saved["random"][rank])
        # {% endif %}

    def find_latest(self) -> list[Path]:
        """Return the checkpoints to resume from, the newest first; none without --resume."""
        if not self.args.resume:
            return []
        paths = [self.folder / "last.pt", self.folder / "previous.pt"]
        return [path for path in paths if path.exists()]

    def load_initial(self, state: Any, logger: Logger) -> None:
        """Load the weights of --init-from that fit, into the average of the weights too.

        Notes tell which do not fit. Raises UserError if none does.
        """
        path = find_weights(self.args.init_from)
        # {% if cookiecutter.distributed == "none" %}
        saved = read_checkpoint(path)
        # {% else %}
        saved = self.runtime.processes.run_on_rank0(read_checkpoint, path)
        # {% endif %}
        model = unwrap(state.model)
        weights, own = saved["ema_model"], model.state_dict()
        fitting = {}
        for name, value in weights.items():
            if name in own and value.shape == own[name].shape:
                fitting[name] = value
        if fitting.keys().isdisjoint(name for name, _ in model.named_parameters()):
            raise UserError(f"no weight of {path} fits --model {self.args.model}")
        logger.notes += describe_fit(path, weights, own, len(fitting))
        logger.notes += describe_other_data(saved["model_config"], state.model_config)
        for name in [name for name in saved if saved[name] is weights]:
            saved[name] = fitting  # the model and its average may be the same
        with explain_mismatch(path):
            set_weights(state.model, saved, strict=False)
            if self.args.ema:
                set_weights(state.ema_model, saved, strict=False)

    def load_best(self, model: nn.Module) -> None:
        """Load the weights of the best epoch, or of the last one if no metric was finite."""
        # {% if cookiecutter.distributed == "none" %}
        self.writer.finish()
        # {% else %}
        self.runtime.processes.run_on_rank0(self.writer.finish)
        # {% endif %}
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

    def load_weights(self, path: Path, state: Any) -> None:
        """Load the weights of any checkpoint, those that were evaluated."""
        # {% if cookiecutter.distributed == "none" %}
        saved = read_checkpoint(path)
        # {% else %}
        saved = self.runtime.processes.run_on_rank0(read_checkpoint, path)
        # {% endif %}
        self.check_data(saved, state)
        with explain_mismatch(path):
            set_weights(state.ema_model, saved)

    def check_data(self, saved: dict[str, Any], state: Any) -> None:
        """Raise UserError if a checkpoint has another model, or data that mean something else."""
        saved, config = saved["model_config"], state.model_config
        check_info(saved["info"], config["info"], self.args.other_data)
        check_model(saved, config)


def refresh_lr(state: Any) -> None:
    """Set the learning rates of the schedule, which a new number of --epochs stretches."""
    scheduler = getattr(state, "scheduler", None)
    if isinstance(scheduler, LambdaLR):
        rates = []
        for rate, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
            rates.append(rate * factor(scheduler.last_epoch))
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates


def rebuild_model(
    path: Path, models: dict[str, Callable[..., nn.Module]]
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model of a checkpoint, on the CPU, and the `info` of its training data.

    Raises UserError if the model is none of `models`, or takes other arguments or weights there.
    """
    saved = read_checkpoint(path)
    config = saved["model_config"]
    name, arguments = config["name"], config["arguments"]
    if name not in models:
        raise UserError(
            f"{path} is of a model that this project does not have: {name!r}, not "
            f"{', '.join(models)}"
        )
    try:
        signature(models[name]).bind(**arguments)
    except TypeError as error:
        raise UserError(f"{path} is of another model than {name!r} here: {error}") from None
    model = models[name](**arguments)
    with explain_mismatch(path):
        set_weights(model, saved)
    return model.eval(), config["info"]


@contextlib.contextmanager
def explain_mismatch(path: Path | str) -> Iterator[None]:
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
