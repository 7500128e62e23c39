"""Run rendered projects, and read what they leave."""

import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

# A model that trains in a moment, on the CPU and without what is drawn at random; and a run that is worth stopping.
FAST = ["--device", "cpu", "--quiet", "--model", "mlp", "--no-augment", "--label-smoothing", "0", "--log-every", "1"]
OPTIONS = ["--device", "cpu", "--quiet", "--epochs", "8", "--save-every", "3", "--log-every", "2", "--ema", "0.9"]


class Forks:
    """Starts Python programs in forks of a process that has imported the slow packages; `forks.py` is its other end."""

    def __init__(self):
        command = [sys.executable, Path(__file__).with_name("forks.py")]
        threads = os.environ | {"OMP_NUM_THREADS": "1"}  # in each fork, whatever its own environment says
        self.server = subprocess.Popen(command, text=True, env=threads, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **task: object) -> object:
        print(json.dumps(task), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def start(self, folder: Path, *command: object, out: Path, err: Path | None = None, **environment: str) -> int:
        """Start what `python` would be given, in a folder, and return its id; what it prints goes into files."""
        files = {"out": str(out), "err": str(err or out)}
        return self.ask(
            folder=str(folder), command=list(map(str, command)), environment=os.environ | environment, **files
        )

    def wait(self, *processes: int) -> list[int]:
        """Return the exit codes; should one of the processes fail, the others are killed."""
        return self.ask(wait=processes)

    def poll(self, process: int) -> int | None:
        """Return the exit code of a process that has ended, None of one that runs."""
        return self.ask(poll=process)


@functools.cache
def forks() -> Forks:
    """Return the only one, which ends with this process."""
    return Forks()


def python(folder: Path, *command: object, processes: int = 1, code: int = 0) -> tuple[str, str]:
    """Run what `python` would be given to its end, several processes under torchrun; check the exit code.

    Return what was printed and complained of.
    """
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
        words = [sys.executable, *map(str, [*launcher, *command])]
        result = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout, result.stderr
    with tempfile.TemporaryDirectory() as temporary:
        out, err = Path(temporary, "out"), Path(temporary, "err")
        (found,) = forks().wait(forks().start(folder, *command, out=out, err=err))
        texts = out.read_text(), err.read_text()
    assert found == code, "".join(texts)
    return texts


def places(processes: int) -> list[dict[str, str]]:
    """Return what the environment tells each of several processes of its place among them, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    worlds = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **worlds, **meeting} for rank in range(processes)]


def run(project: Path, *options: object, processes: int = 1, code: int = 0) -> tuple[str, str]:
    """Run main.py to its end, check the exit code, and return what it printed and complained of."""
    return python(project, "main.py", *options, processes=processes, code=code)


def start(project: Path, *options: object, processes: int = 1, **keywords) -> subprocess.Popen:
    """Start main.py as a person does: by `python` for one process, by torchrun for several."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "main.py", *map(str, options)]
    return subprocess.Popen(command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)


def records(folder: Path) -> list[dict]:
    """Return what a run measured, without what depends on the machine's speed."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "samples_per_second": 0, "seconds": 0} for line in lines]


def same_weights(one: Path, other: Path) -> bool:
    """Tell whether two runs ended with the same weights, bit for bit."""
    states = [torch.load(folder / "checkpoints" / "last.pt", weights_only=True) for folder in (one, other)]
    return all(
        states[0][key].keys() == states[1][key].keys()
        and all(torch.equal(states[0][key][name], states[1][key][name]) for name in states[0][key])
        for key in ("model", "ema")
        if states[0][key] is not None
    )


def step_losses(folder: Path) -> list[float]:
    """Return the losses of single steps, which --log-every 1 records."""
    return [record["train/step_loss"] for record in records(folder) if "train/step_loss" in record]
