"""A trial of a sweep: main.py in a process of its own, watched by its run directory."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from .report import Record, best_epoch, is_finite, read_records


class TrialRun:
    """Runs main.py with some options to its end, or resumes it; a stop signal saves its state."""

    def __init__(self, words: list[str], run_dir: Path, environment: dict[str, str]):
        self.command = [sys.executable, "main.py", *words, "--run-dir", str(run_dir), "--resume"]
        self.run_dir = run_dir
        self.log = run_dir.with_name(f"{run_dir.name}.log")  # what main.py prints
        self.environment = os.environ | environment
        self.process: subprocess.Popen[bytes] | None = None
        self.is_pruned = False
        self.size = -1  # of metrics.jsonl when it was last read
        self.records: list[Record] = []

    def poll(self) -> int | None:
        """Return the exit code, or None while the trial runs; start it if it does not.

        The process of a sweep that was killed may live on. It has locked the run directory: it is
        waited for, and then only what it has left is done.
        """
        if self.process is None:
            if self.is_locked():
                return None
            if self.test():
                return 0
            self.start()
            return None
        code = self.process.poll()
        if code and self.is_locked():  # such a process had begun but not locked
            self.process = None
            return None
        return code

    def start(self) -> None:
        """Start the process; the terminal's Ctrl-C reaches it through the sweep alone."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def is_locked(self) -> bool:
        """Return whether a process is at work in the run directory."""
        path = self.run_dir / ".lock"
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True
        except (NotImplementedError, OSError):  # a file system without locks
            return False

    def is_running(self) -> bool:
        """Return whether there is a process of this sweep."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.process is not None and self.is_running():
            self.process.send_signal(number)

    def prune(self) -> None:
        """Stop the trial, which has no prospect."""
        self.is_pruned = True
        self.send(signal.SIGTERM)

    def read(self) -> list[Record]:
        """Return the records so far."""
        path = self.run_dir / "metrics.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size != self.size:
            self.size = size
            self.records = read_records(path) if size else []
        return self.records

    def values(self, monitor: str) -> dict[int, float]:
        """Return the monitored metric of each epoch so far."""
        values = {}
        for record in self.read():
            if record["event"] == "epoch" and is_finite(record.get(f"val/{monitor}")):
                values[record["epoch"]] = record[f"val/{monitor}"]
        return values

    def test(self) -> Record:
        """Return the record of the test, with which a run ends, or an empty one."""
        records = self.read()
        return records[-1] if records and records[-1]["event"] == "test" else {}

    def best_value(self, monitor: str, higher_is_better: bool) -> float:
        """Return the monitored metric of the best epoch; nan if there is none."""
        best = best_epoch(self.read(), monitor, {monitor: higher_is_better})
        return best.get(f"val/{monitor}", math.nan)

    def why_failed(self, code: int) -> str:
        """Return the last line that main.py has printed, or the signal that has ended it."""
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return printed[-1] if printed else f"exit code {code}"
