"""Run rendered projects, and read what they leave."""

import json
import subprocess
import sys
from pathlib import Path

import torch

# A model that trains in a moment, on the CPU and without what is drawn at random; and a run that is worth stopping.
FAST = ["--device", "cpu", "--quiet", "--model", "mlp", "--no-augment", "--label-smoothing", "0", "--log-every", "1"]
OPTIONS = ["--device", "cpu", "--quiet", "--epochs", "8", "--save-every", "3", "--log-every", "2", "--ema", "0.9"]


def start(project: Path, *options: object, processes: int = 1, **keywords) -> subprocess.Popen:
    """Start main.py in one process, or in several under torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "main.py", *map(str, options)]
    return subprocess.Popen(command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)


def run(project: Path, *options: object, processes: int = 1, code: int = 0) -> tuple[str, str]:
    """Run main.py to its end, check the exit code, and return what it printed and complained of."""
    process = start(project, *options, processes=processes)
    out, err = process.communicate()
    assert process.returncode == code, out + err
    return out, err


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
