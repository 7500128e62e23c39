"""Runs of rendered projects, and what they leave."""

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

PROGRAMS = Path(__file__).parent / "programs"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]

# A model that trains in a moment on the CPU, with a record of every step.
FAST = ["--device", "cpu", "--quiet", "--model", "mlp", "--log-every", "1"]
# The losses of its steps depend on the weights alone.
FAST += ["--no-augment", "--label-smoothing", "0"]
# A run that is worth stopping.
STOPPABLE = ["--device", "cpu", "--quiet", "--epochs", "8", "--save-every", "3"]
STOPPABLE += ["--log-every", "2", "--ema", "0.9"]


def rest_is_full(choices: Iterable[Any], lane: int = 1) -> list[Any]:
    """Return the choices for `parametrize`; those after the first `lane` are for test-full."""
    parameters = []
    for number, choice in enumerate(choices):
        values = choice if isinstance(choice, tuple) else (choice,)
        marks = [pytest.mark.full] if number >= lane else []
        parameters.append(pytest.param(*values, marks=marks))
    return parameters


class Forks:
    """Starts Python programs in forks of a process that has imported the slow packages.

    `forks.py` is its other end.
    """

    def __init__(self):
        command = [sys.executable, Path(__file__).with_name("forks.py")]
        threads = os.environ | {"OMP_NUM_THREADS": "1"}  # in each fork, whatever its environment
        self.server = subprocess.Popen(
            command, text=True, env=threads, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, **task: object) -> Any:
        """Send a task, and return the answer."""
        print(json.dumps(task), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def start(
        self, folder: Path, *command: object, out: Path, err: Path | None = None, **environment: str
    ) -> int:
        """Start what `python` would be given, in a folder, and return its process id.

        `sys.path` begins with the folder. What is printed goes into the files.
        """
        return self.ask(
            folder=str(folder),
            command=list(map(str, command)),
            environment=os.environ | environment,
            out=str(out),
            err=str(err or out),
        )

    def wait(self, *processes: int) -> list[int]:
        """Return the exit codes; if one of the processes fails, the others are killed."""
        return self.ask(wait=processes)

    def poll(self, process: int) -> int | None:
        """Return the exit code of a process that has ended, None of one that runs."""
        return self.ask(poll=process)


@functools.cache
def forks() -> Forks:
    """Return the only one, which ends with this process."""
    return Forks()


def end_forks() -> None:
    """End the process that forks, whose CPU time counts only then."""
    if forks.cache_info().currsize:
        forks().server.stdin.close()
        forks().server.wait()
        forks.cache_clear()


def python(
    folder: Path,
    *command: object,
    processes: int = 1,
    torchrun: bool = True,
    code: int = 0,
    **environment: object,
) -> tuple[str, str]:
    """Run what `python` would be given to its end, in a folder; check the exit code.

    Several processes are started by torchrun, or else as forks, which is cheaper but no place for
    a tracker with threads of its own. Returns the texts of stdout and stderr.
    """
    variables = {name: str(value) for name, value in environment.items()}
    if (processes > 1 and torchrun) or not hasattr(os, "fork"):  # as on Windows
        if command[0] != "main.py":  # a program outside the folder
            variables = {"PYTHONPATH": str(folder), **variables}
        launcher = [*TORCHRUN, str(processes)] if processes > 1 else []
        words = [sys.executable, *launcher, *map(str, command)]
        result = subprocess.run(
            words, cwd=folder, env=os.environ | variables, capture_output=True, text=True
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout, result.stderr
    with tempfile.TemporaryDirectory() as temporary:
        out, err = Path(temporary, "out"), Path(temporary, "err")
        children = []
        for place in places(processes) if processes > 1 else [{}]:
            place |= variables
            children.append(forks().start(folder, *command, out=out, err=err, **place))
        found = forks().wait(*children)
        texts = out.read_text(), err.read_text()
    assert found == [code] * processes, "".join(texts)
    return texts


def do(command: str, folder: Path, **environment: object) -> str:
    """Run a command in a shell as a person does, and return what it prints."""
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    result = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def places(processes: int) -> list[dict[str, str]]:
    """Return the environment that tells each of several processes its rank, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    meeting |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting} for rank in range(processes)]


def run(project: Path, *options: object, **settings: Any) -> tuple[str, str]:
    """Run main.py to its end, as `python` does; return the texts of stdout and stderr."""
    return python(project, "main.py", *options, **settings)


def start(
    project: Path, *options: object, processes: int = 1, **keywords: Any
) -> subprocess.Popen[str]:
    """Start main.py as a person does: by `python` for one process, by torchrun for several."""
    command = [sys.executable, *TORCHRUN, str(processes)] if processes > 1 else [sys.executable]
    command += ["main.py", *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=project, text=True, **pipes, **keywords)


def wait_for(path: Path, process: subprocess.Popen[str], lines: int = 0) -> None:
    """Wait until `process` has made a file with that many lines."""
    while not path.exists() or len(path.read_bytes().splitlines()) < lines:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def read_records(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records in metrics.jsonl."""
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def records(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of a run, without what depends on the machine's speed."""
    return [{**record, "samples_per_second": 0, "seconds": 0} for record in read_records(run_dir)]


def step_losses(run_dir: Path) -> list[float]:
    """Return the losses of single steps, which --log-every 1 records.

    The last step of an epoch has the epoch's record.
    """
    losses = []
    for record in read_records(run_dir):
        if record["event"] == "step":
            losses.append(record["step/loss"])
    return losses


def read_checkpoint(run_dir: Path, name: str = "last.pt") -> dict[str, Any]:
    """Return what a checkpoint of a run holds."""
    return torch.load(run_dir / "checkpoints" / name, weights_only=True)


def same_weights(one: Path, other: Path) -> bool:
    """Return whether two runs ended with the same weights and averages of weights, bit for bit."""
    saved, others = read_checkpoint(one), read_checkpoint(other)
    for part in ("model", "ema_model"):
        assert saved[part].keys() == others[part].keys()
        for name, tensor in saved[part].items():
            if not torch.equal(tensor, others[part][name]):
                return False
    return True
