"""What survives: the run folder with its options, and checkpoints that are whole, verified and exact."""

import contextlib
import json
import math
import os
import shutil
import sys
import time
import zipfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from runtime import Runtime, UserError
from tracking import Logger

NOT_SAVED = {"config", "resume", "evaluate", "run_dir"}  # options that say where a run's other options come from
MAY_CHANGE = {"epochs", "patience", "save_every", "log_every", "workers", "data_dir", "device", "dist_timeout"} | {
    "compile", "profile", "quiet"}  # fmt: skip  # a resumed run may change these


def parse_with_saved_options(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse `argv` behind the options that --config, --evaluate or --resume bring, so that the command line wins."""
    args = parser.parse_args(argv)
    if args.resume and args.run_dir is None:
        newest = max(Path("runs").glob("*/config.json"), key=lambda path: path.stat().st_mtime, default=None)
        args.run_dir = None if newest is None else newest.parent
    if args.evaluate is not None:
        args.config = args.config or args.evaluate.parent.parent / "config.json"
    resumed = args.resume and args.run_dir is not None and (args.run_dir / "config.json").exists()
    path = args.run_dir / "config.json" if resumed else args.config
    if path is None:
        return args
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        tokens = [token for name, value in saved.items() for token in as_tokens(name, value)]
    except (OSError, ValueError, AttributeError) as error:
        parser.error(f"cannot read the options in {path}: {error}")
    run_dir, args = args.run_dir, parser.parse_args([*tokens, *argv])
    args.run_dir = run_dir
    for name, value in json.loads(json.dumps(vars(args), default=str)).items() if resumed else ():
        if name not in NOT_SAVED | MAY_CHANGE and value != saved.get(name, value):
            flag = "--" + name.replace("_", "-")
            parser.error(f"{flag} is {saved[name]} in {args.run_dir}, not {value}; leave it out, or start a new run")
    return args


def as_tokens(name: str, value: Any) -> list[str]:
    """Turn one saved option into what a person would type."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [] if value is None else [f"--{flag}={value}"]


def claim_run_folder(args: Namespace, keep: contextlib.ExitStack) -> Path:
    """Make the run folder, or take the one to resume, and `keep` its lock until the run ends."""
    name = f"{args.dataset}-{args.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    home = Path("runs") if args.evaluate is None else args.evaluate.parent.parent / "evaluations"
    folder = args.run_dir or home / name
    attempt = 1
    while args.run_dir is None and folder.exists():  # two runs that start in the same second
        attempt += 1
        folder = home / f"{name}-{attempt}"
    try:
        folder.mkdir(parents=True, exist_ok=args.run_dir is not None)
        keep.enter_context(FileLock(folder / ".lock", timeout=0))
        if (folder / "config.json").exists() and not args.resume:
            raise UserError(f"{folder} holds a run: go on with --resume, or choose another --run-dir")
        for stray in folder.rglob("*.tmp.*"):  # what a killed process left half written
            stray.unlink()
        options = {name: value for name, value in vars(args).items() if name not in NOT_SAVED}
        text = json.dumps(options, indent=2, default=str, ensure_ascii=False)
        with replacing(folder / "config.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except Timeout:
        raise UserError(f"{folder} is in use by another process") from None
    except OSError as error:
        raise UserError(f"cannot use {folder} as the run folder: {error.strerror}") from None
    return folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write to, then move it there at once: `path` is always whole, old or new."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, after a check of every byte against its checksum; raises UserError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself would take flipped bits for weights
            damaged = archive.testzip()
        if damaged is None:
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except (OSError, EOFError, KeyError, RuntimeError, UnpicklingError, ValueError, zipfile.BadZipFile):
        pass
    raise UserError(f"{path} is damaged, or not a checkpoint")


class Checkpoint:
    """Where a run stands, and all that it needs to go on from there as if it had never stopped.

    `last.pt` is where to go on, `previous.pt` the one before it, `best.pt` the one with the best value of `monitor`.
    """

    def __init__(
        self,
        args: Namespace,
        runtime: Runtime,
        folder: Path,
        model: nn.Module,
        ema: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        logger: Logger,
        higher_is_better: bool,
    ):
        self.args, self.runtime, self.folder = args, runtime, folder / "checkpoints"
        self.model, self.ema, self.optimizer, self.scheduler, self.logger = model, ema, optimizer, scheduler, logger
        self.higher_is_better = higher_is_better
        self.epoch, self.step = 0, 0  # finished epochs, and finished steps of the epoch after them
        self.best: float | None = None
        self.stale = 0  # epochs since the best one
        self.folder.mkdir(exist_ok=True)
        if args.resume:
            self.resume()

    def epochs(self, total: int) -> Iterator[int]:
        """Yield the epochs that are still to do, until there were `--patience` of them without a better one."""
        self.runtime.catch_signals()
        self.runtime.before_stopping = self.save_for_later
        for epoch in range(self.epoch, total):
            if self.args.patience and self.stale >= self.args.patience:
                self.logger.print(f"stopped early: {self.stale} epochs without a better {self.args.monitor}")
                break
            yield epoch
        self.runtime.before_stopping = lambda: None

    def advance(self) -> None:
        """Count one step; save when it is time, and leave when asked to."""
        self.step += 1
        if self.args.save_every and self.step % self.args.save_every == 0:
            self.write()
        self.runtime.stop_if_asked()

    def save(self, val: dict[str, float]) -> None:
        """Close an epoch with its validation metrics."""
        value = val[self.args.monitor]
        better = self.best is None or (value > self.best if self.higher_is_better else value < self.best)
        if better and math.isfinite(value):
            self.best, self.stale = value, 0
        else:
            better, self.stale = False, self.stale + 1
        self.epoch, self.step = self.epoch + 1, 0
        self.write(best=better)
        self.runtime.stop_if_asked()

    def save_for_later(self) -> None:
        """Save before leaving on request, and say how to go on."""
        if self.step:
            self.write()
        where = f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"
        self.logger.print(f"stopped after {where}; go on with: python main.py --resume --run-dir {self.folder.parent}")

    def write(self, best: bool = False) -> None:
        """Save everything; all ranks call this, rank 0 writes."""
        logger = self.logger.state_dict()  # stops the run where a loss is not a number
        cuda = self.runtime.device.type == "cuda"
        random = (torch.get_rng_state(), torch.cuda.get_rng_state(self.runtime.device) if cuda else None)
        averaged = isinstance(self.ema, AveragedModel)
        state = {
            "model": self.runtime.unwrap(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.get_submodule("module").state_dict() if averaged else None,
            "averaged": int(self.ema.get_buffer("n_averaged")) if averaged else 0,
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.runtime.scaler.state_dict(),
            "logger": logger,
            "random": self.runtime.gather(random),
            "progress": {"epoch": self.epoch, "step": self.step, "best": self.best, "stale": self.stale},
        }
        self.runtime.first(self.write_files, state, best)  # no rank goes on before the files are there

    def write_files(self, state: dict[str, Any], best: bool) -> None:
        """Write last.pt, keep the one before it, and give it the second name best.pt where it is the best."""
        last = self.folder / "last.pt"
        try:
            with replacing(last) as temporary:
                torch.save(state, temporary)
                if best:
                    with replacing(self.folder / "best.pt") as second_name:
                        link(temporary, second_name)
                if last.exists():
                    os.replace(last, self.folder / "previous.pt")
        except (OSError, RuntimeError) as error:  # RuntimeError is how torch tells of a full disk
            raise UserError(f"cannot write {last}: {error}") from None

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole; start anew where there is none."""
        for name in ("last.pt", "previous.pt"):
            try:
                state = load(self.folder / name)
            except UserError as error:
                if (self.folder / name).exists():
                    print(f"warning: {error}; taking the one before it", file=sys.stderr)
                continue
            self.restore(state)
            return

    def restore(self, state: dict[str, Any]) -> None:
        """Put everything back to where `write` saved it."""
        self.runtime.unwrap(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if isinstance(self.ema, AveragedModel):
            self.ema.module.load_state_dict(state["ema"])
            self.ema.n_averaged.fill_(state["averaged"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.runtime.scaler.load_state_dict(state["scaler"])
        self.logger.load_state_dict(state["logger"])
        self.epoch, self.step, self.best, self.stale = (
            state["progress"][name] for name in ("epoch", "step", "best", "stale")
        )
        if self.runtime.rank < len(state["random"]):  # a rank that was not there before keeps its own seed
            cpu, cuda = state["random"][self.runtime.rank]
            torch.set_rng_state(cpu)
            if cuda is not None and self.runtime.device.type == "cuda":
                torch.cuda.set_rng_state(cuda, self.runtime.device)

    def load_best(self) -> None:
        """Take the weights that --evaluate names, or else those that validated best."""
        path = self.args.evaluate or self.folder / "best.pt"
        state = load(path)
        module = self.ema.module if isinstance(self.ema, AveragedModel) else self.ema
        try:
            module.load_state_dict(state["ema"] or state["model"])
        except (KeyError, RuntimeError) as error:
            raise UserError(f"{path} does not fit this model: {str(error).splitlines()[-1].strip()}") from None


def link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
