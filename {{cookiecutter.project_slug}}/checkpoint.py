"""What survives: the run folder with its options, and checkpoints that are whole, verified and exact."""

import contextlib
import json
import math
import os
import shlex
import shutil
import sys
import time
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from filelock import FileLock, Timeout

from options import NOT_SAVED
from runtime import Runtime, UserError


def claim_run_folder(args: Namespace, resources: contextlib.ExitStack) -> Path:
    """Make the run folder, or take the one to resume, and hold its lock until the run ends."""
    try:
        folder = args.run_dir or new_folder(args)
        folder.mkdir(parents=True, exist_ok=True)
        resources.enter_context(FileLock(folder / ".lock", timeout=0))
        new = not (folder / "config.json").exists()
        if not new and not args.resume:
            raise UserError(f"{folder} holds a run: go on with --resume, or choose another --run-dir")
        if new:
            resources.callback(forget_failed_start, folder)
        (folder / "checkpoints").mkdir(exist_ok=True)
        for stray in [*folder.glob("*.tmp.*"), *folder.glob("checkpoints/*.tmp.*")]:  # half written by a killed process
            stray.unlink()
        options = {name: value for name, value in vars(args).items() if name not in NOT_SAVED}
        text = json.dumps(options, indent=2, default=str, ensure_ascii=False)
        with replacing(folder / "config.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except Timeout:
        raise UserError(f"{folder} is in use by another process") from None
    except OSError as error:
        raise UserError(f"cannot use {error.filename} for the run folder: {error.strerror}") from None
    return folder


def forget_failed_start(folder: Path) -> None:
    """Let a folder in which nothing was recorded hold no run, or --resume would take it for the newest one."""
    if not (folder / "metrics.jsonl").exists():
        (folder / "config.json").unlink(missing_ok=True)


def new_folder(args: Namespace) -> Path:
    """Make a folder with a name that tells the runs apart, also those that start in the same second."""
    home = args.evaluate.parent.parent / "evaluations" if args.evaluate else Path("runs")
    name = f"{args.dataset}-{args.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):
        folder = home / (name if attempt == 1 else f"{name}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write to, then move it there at once: `path` is always whole, old or new."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if os.name == "posix":  # where the renaming itself has to be flushed, too
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, after a check of every byte against its checksum; raises UserError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load itself would take flipped bits for weights
            damaged = archive.testzip()
        if damaged is None:
            return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    except (OSError, EOFError, KeyError, RuntimeError, UnpicklingError, ValueError, zipfile.BadZipFile):
        pass
    raise UserError(f"{path} is damaged, or not a checkpoint")


class Checkpoint:
    """Where a run stands, and all that it needs to go on from there as if it had never stopped.

    `parts` are the objects with a state. `last.pt` is where to go on, `previous.pt` the one before it, and `best.pt`
    the one with the best value of --monitor.
    """

    def __init__(self, args: Namespace, runtime: Runtime, folder: Path, maximize: bool, parts: dict[str, Any]):
        self.args, self.runtime, self.folder, self.parts = args, runtime, folder / "checkpoints", parts
        self.maximize, self.print = maximize, parts["logger"].print
        self.epoch, self.step = 0, 0  # finished epochs, and finished steps of the epoch after them
        self.best: float | None = None
        self.epochs_since_best = 0
        if args.resume:
            self.resume()

    def epochs(self, total: int) -> Iterator[int]:
        """Yield the epochs that are still to do, until there were --patience of them without a better one."""
        self.runtime.catch_signals(before_stopping=self.save_for_later)
        for epoch in range(self.epoch, 0 if self.args.evaluate else total):
            if self.args.patience and self.epochs_since_best >= self.args.patience:
                self.print(f"stopped early: {self.epochs_since_best} epochs without a better {self.args.monitor}")
                break
            yield epoch
        self.runtime.before_stopping = lambda: self.print("stopped while testing: --resume tests again")

    def advance(self) -> None:
        """Count one step; save when it is time, and leave when asked to."""
        self.step += 1
        if self.args.save_every and self.step % self.args.save_every == 0:
            self.write()
        self.runtime.stop_if_asked()

    def save(self, val: dict[str, float]) -> None:
        """Close an epoch with its validation metrics."""
        value = val[self.args.monitor]
        better = self.best is None or (value > self.best if self.maximize else value < self.best)
        better = better and math.isfinite(value)
        if better:
            self.best = value
        self.epochs_since_best = 0 if better else self.epochs_since_best + 1
        self.epoch, self.step = self.epoch + 1, 0
        self.write(best=better)
        self.runtime.stop_if_asked()

    def save_for_later(self) -> None:
        """Save before leaving on request, and say how to go on."""
        if self.step:
            self.write()
        where = f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"
        folder = shlex.quote(str(self.folder.parent))
        self.print(f"stopped after {where}; go on with: python main.py --resume --run-dir {folder}")

    def write(self, best: bool = False) -> None:
        """Save everything; all ranks take part, rank 0 writes."""
        progress = {name: getattr(self, name) for name in ("epoch", "step", "best", "epochs_since_best")}
        rest = {"random": self.runtime.gather(self.runtime.random_state()), "progress": progress}
        self.runtime.save(self.folder, self.parts, lambda states: self.write_files({**states, **rest}, best))

    def write_files(self, state: dict[str, Any], best: bool) -> None:
        """Write last.pt, keep the one before it, and copy it to best.pt where it is the best."""
        weights = state.get("model", {}).values()  # a loss that is no number has ended the run already
        if weights and not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
            raise UserError("the weights have become infinite or NaN: try a lower --lr, or --clip")
        last = self.folder / "last.pt"
        try:
            with replacing(last) as temporary:
                torch.save(state, temporary)
                if best:
                    with replacing(self.folder / "best.pt") as copy:
                        shutil.copyfile(temporary, copy)
                if last.exists():
                    os.replace(last, self.folder / "previous.pt")
        except (OSError, RuntimeError) as error:  # RuntimeError is how torch tells of a full disk
            raise UserError(f"cannot write {last}: {error}") from None

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole; start anew where there is none at all."""
        state = self.restore(self.parts, self.read_newest)
        if state:
            vars(self).update(state["progress"])
            if self.runtime.rank < len(state["random"]):  # a rank that was not there before keeps its own
                self.runtime.set_random_state(state["random"][self.runtime.rank])

    def read_newest(self) -> tuple[Path, dict[str, Any]]:
        """Read the newest checkpoint that is whole; an empty one where there is none."""
        last, previous = self.folder / "last.pt", self.folder / "previous.pt"
        paths = [path for path in (last, previous) if path.exists()]
        for path in paths:
            try:
                state = load(path)
            except UserError as error:
                print(f"warning: {error}", file=sys.stderr)
                continue
            if path != paths[0]:  # else the next save would put the damaged one in the place of the whole one
                os.replace(last, last.with_suffix(".damaged"))
                os.replace(previous, last)
            return self.folder, state
        if paths:
            raise UserError(f"no checkpoint in {self.folder} is whole; start anew with another --run-dir")
        return self.folder, {}

    def load_best(self) -> None:
        """Take the weights that --evaluate names, or else those that validated best."""
        self.restore({"ema": self.parts["ema"]}, self.read_best)

    def read_best(self) -> tuple[Path, dict[str, Any]]:
        """Read the checkpoint that is to be tested."""
        best, last = self.folder / "best.pt", self.folder / "last.pt"
        path = self.args.evaluate or (best if best.exists() else last)
        return path.parent, load(path)

    def restore(self, parts: dict[str, Any], read: Callable[[], tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
        """Put what `read` finds back into the parts; raises UserError where it does not fit them."""
        try:
            return self.runtime.load(parts, read)
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            where, why = self.args.evaluate or self.folder, str(error).splitlines()[-1].strip()
            raise UserError(f"the checkpoint in {where} does not fit this run: {why}") from None
