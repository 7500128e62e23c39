"""Run directories: created, owned by one run, and locked while it lasts."""

import contextlib
import errno
import json
import re
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError
from .files import write_text
from .options import to_save
from .terminal import say

# What a run has made before its first record, and what a killed one has left half written.
FIRST_FILES = {".lock", "config.json", "run.json", "changes.diff", "metrics.jsonl"}
FIRST_FILES |= {"checkpoints/train_samples.npy", "checkpoints/initial_samples.npy"}
FIRST_PATTERN = re.compile(r"tracker_\w+\.txt|events\.out\.tfevents\..+")
PARTIAL = re.compile(r"[\w-]+\.(csv|diff|json|jsonl|md|npy|png|pt|txt)\.tmp\.\d+")
# Errors of a file system without locks.
NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def create_run_dir(args: Namespace, resources: contextlib.ExitStack) -> Path:
    """Create the run directory, or take the one to resume, and lock it until the run ends.

    Raises UserError if it holds anything but the run to resume, is in use, or cannot be written to.
    """
    run_dir = args.run_dir
    try:
        if run_dir is not None:
            check_owner(run_dir, args.resume)
        run_dir, created = make_folder(args)
        lock(run_dir, resources)
        new = not (run_dir / "config.json").exists()
        if new:
            resources.callback(remove_failed_start, run_dir, created)
        if not args.evaluate:  # an evaluation is a run directory without checkpoints
            (run_dir / "checkpoints").mkdir(exist_ok=True)
        for folder in (run_dir, run_dir / "checkpoints"):
            remove_partial_files(folder)
        if new:  # a resume that is refused leaves the options as they were
            write_options(run_dir / "config.json", args)
    except OSError as error:
        path = error.filename or run_dir or "runs"
        reason = error.strerror or error
        raise UserError(f"cannot use {path} for the run directory: {reason}") from None
    return run_dir


def check_owner(run_dir: Path, resume: bool) -> None:
    """Raise UserError if a directory is neither new nor empty, and not the run to resume."""
    if not run_dir.exists():
        return
    names = {path.name for path in run_dir.iterdir()}
    files = {name for name in names if name != ".lock" and not PARTIAL.fullmatch(name)}
    if files == {"checkpoints"} and not any(run_dir.glob("checkpoints/*")):
        return  # of a start that was killed
    if not files:
        return
    if not is_run(run_dir):
        raise UserError(
            f"{run_dir} holds other files, {min(files)} for instance: choose a --run-dir that is "
            "new or empty"
        )
    if not resume:
        raise UserError(
            f"{run_dir} holds a run: continue it with --resume, or choose another --run-dir"
        )


def is_run(run_dir: Path) -> bool:
    """Return whether a directory has the config.json of a run."""
    try:
        saved = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(saved, dict) and {"dataset", "model", "seed"} <= saved.keys()


def make_folder(args: Namespace) -> tuple[Path, list[Path]]:
    """Create the run directory; return it, and the folders that were created, the inner first."""
    for run_dir in [args.run_dir] if args.run_dir else new_names(args):
        created = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
        try:
            run_dir.mkdir(parents=True, exist_ok=args.run_dir is not None)
            return run_dir, created
        except FileExistsError:
            if args.run_dir:
                raise
    raise AssertionError("there is always a new name")


def new_names(args: Namespace) -> Iterator[Path]:
    """Yield names for a run directory in runs/, from the data, the model and the time."""
    home = Path("runs")
    if args.evaluate:
        home = args.evaluate.resolve().parent.parent / "evaluations"
    name = f"{args.dataset}-{args.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    yield home / name
    number = 2
    while True:  # other runs may start in the same second
        yield home / f"{name}-{number}"
        number += 1


def find_weights(path: Path) -> Path:
    """Return the checkpoint that a path means: a file, or the best one of a run directory."""
    if not path.is_dir():
        return path
    best = path / "checkpoints" / "best.pt"
    return best if best.exists() else best.with_name("last.pt")


def lock(run_dir: Path, resources: contextlib.ExitStack) -> None:
    """Lock a run directory. Raises UserError if another run holds the lock."""
    from filelock import FileLock, Timeout

    path = run_dir / ".lock"
    try:
        resources.enter_context(FileLock(path, timeout=0))
    except Timeout:
        raise UserError(
            f"{run_dir} is in use by another process; if none is running, remove {path}"
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        say(f"warning: {run_dir} cannot be locked; start no second run there", sys.stderr)


def remove_failed_start(run_dir: Path, created: list[Path]) -> None:
    """Leave nothing of a new run without a record or a checkpoint, nor the folders made for it."""
    with contextlib.suppress(OSError):
        records = run_dir / "metrics.jsonl"
        saved = (run_dir / "checkpoints" / "last.pt").exists()
        if saved or (records.exists() and records.stat().st_size):
            return
        for name in FIRST_FILES:  # without listing the folder, for which there may be no file left
            (run_dir / name).unlink(missing_ok=True)
        for path in run_dir.iterdir():
            if FIRST_PATTERN.fullmatch(path.name):
                path.unlink()
        shutil.rmtree(run_dir / "tracker", ignore_errors=True)
    for folder in (run_dir / "checkpoints", *created):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def remove_partial_files(folder: Path) -> None:
    """Remove the half-written files of a run that was killed."""
    if folder.exists():
        for path in folder.iterdir():
            if PARTIAL.fullmatch(path.name) and path.is_file():
                path.unlink()


def write_options(path: Path, args: Namespace) -> None:
    """Write the options that --config, --resume and --evaluate read."""
    text = json.dumps(to_save(args), indent=2, ensure_ascii=False)
    write_text(path, text + "\n")
