"""Kills a run before each of its file operations: kill_everywhere.py FOLDER EVERY OPTIONS...

The operations are those below the run directory: a file that is opened to be written, a rename, a
removal, a new or removed folder, a flush; a checkpoint or a record is also cut off in its middle.
Each EVERY-th kill is in a run of its own, a fork of this process, and another fork resumes it.
With BACKGROUND=1, a thread writes the checkpoints, as it does with those of large models.
Prints JSON: how many were killed, and where a resumed run has not ended as a whole one.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from main import main
from my_project.engine import checkpoint_writer
from my_project.engine.runtime import start
from my_project.engine.terminal import as_script
from my_project.utils import parse_arguments

folder, every, options = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
save, fsync = torch.save, os.fsync
if os.environ.get("BACKGROUND") == "1":
    checkpoint_writer.LARGE = 0


class Killer:
    """Counts operations, and kills this process at one of them."""

    def __init__(self, run_dir: Path, kill_at: int):
        self.run_dir = str(run_dir)
        self.kill_at = kill_at
        self.count = 0
        sys.addaudithook(self.hear)
        os.fsync = self.flush
        torch.save = self.save

    def is_next(self) -> bool:
        """Count an operation; return whether it is the one before which to end."""
        self.count += 1
        return self.count == self.kill_at

    def hear(self, event: str, values: tuple[Any, ...]) -> None:
        """Python calls this before each operation."""
        if event not in CHANGES and event != "open":
            return
        path = values[0]
        if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(self.run_dir):
            return
        if event == "open" and not values[2] & WRITING:
            return
        if self.is_next():
            kill()
        if event == "open" and str(path).endswith("metrics.jsonl") and self.is_next():
            file = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.write(file, b'{"event": "st')
            kill()

    def flush(self, file: int) -> None:
        if self.is_next():
            kill()
        fsync(file)

    def save(self, saved: Any, path: Any) -> None:
        if self.is_next():
            kill()
        save(saved, path)
        if self.is_next():
            os.truncate(path, os.path.getsize(path) // 2)
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(run_dir: Path, kill_at: int) -> int:
    """Run main.py in a fork; return its exit code, that of a signal if it is killed."""
    child = os.fork()
    if child == 0:
        killer = Killer(run_dir, kill_at)
        code: Any = 0
        try:
            args = parse_arguments([*options, "--resume", "--run-dir", str(run_dir)])
            with as_script(), start(args) as runtime:
                main(args, runtime)
        except SystemExit as ending:
            code = ending.code
        except BaseException as error:
            code = 1
            print(error, file=sys.stderr)
        if not kill_at:
            (folder / "operations").write_text(str(killer.count))
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read(run_dir: Path) -> tuple[dict[str, Any], list[dict[str, Any]], set[str]]:
    """Return a run's last checkpoint, its records without the speed, and its files."""
    records = []
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        records.append({**json.loads(line), "samples_per_second": 0, "seconds": 0})
    files = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*")}
    saved = torch.load(run_dir / "checkpoints" / "last.pt", weights_only=True)
    torch.load(run_dir / "checkpoints" / "best.pt", weights_only=True)
    return saved, records, files


def find_fault(whole: Path, parts: Path) -> str:
    """Return in what a run differs from the whole one, or an empty text."""
    (saved, records, files), (others, other_records, other_files) = read(whole), read(parts)
    if files != other_files:
        return f"files {sorted(files ^ other_files)}"
    if records != other_records or saved["step"] != others["step"]:
        return "records"
    for part in ("model", "ema_model"):
        for name, tensor in saved[part].items():
            if not torch.equal(tensor, others[part][name]):
                return "weights"
    return ""


whole, parts = folder / "whole", folder / "parts"
assert run(whole, kill_at=0) == 0
operations = int((folder / "operations").read_text())
killed, faults = 0, []
for kill_at in range(every, operations + 1, every):
    killed += run(parts, kill_at) == -signal.SIGKILL
    code = run(parts, kill_at=0)
    try:
        fault = f"exit code {code}" if code else find_fault(whole, parts)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        faults.append([kill_at, fault])
    shutil.rmtree(parts, ignore_errors=True)
print(json.dumps({"killed": killed, "operations": operations, "faults": faults}))
