"""Checkpoints of models of several sizes: torch.save, the project's save, and its wait for it.

    python benchmarks/checkpoints.py

A state is what AdamW trains: weights and two averages of the same size. Each figure is the median
of five saves that take turns in one process; every file is flushed to the disk. The first turn, in
which memory and disk are new, is not counted.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

MILLIONS = (8, 32, 64)  # of parameters
PROGRAM = """
import contextlib, os, sys, time
from argparse import Namespace
from pathlib import Path
import torch
from my_project.engine.checkpoint import Checkpoint
from my_project.engine.files import replacing

torch.set_num_threads(1)
size = int(sys.argv[1]) * 1_000_000 // 20
weights = dict((f"layer{i}.weight", torch.randn(size)) for i in range(20))
states = {}
for i in range(20):
    states[i] = {"exp_avg": torch.randn(size), "exp_avg_sq": torch.rand(size)}
saved = {"model": weights, "ema_model": weights, "optimizer": {"state": states}}
run_dir = Path("runs/mine")
(run_dir / "checkpoints").mkdir(parents=True)
resources = contextlib.ExitStack()
runtime = Namespace(resources=resources, stopping=False)
checkpoint = Checkpoint(Namespace(), runtime, run_dir)

def plain():
    with replacing(run_dir / "plain.pt") as path:
        torch.save(saved, path)

for turn in range(6):
    seconds = []
    for save in (plain, lambda: checkpoint.write(saved, False),
                 lambda: checkpoint.writer.start(saved, False)):
        begin = time.perf_counter()
        save()
        seconds.append(time.perf_counter() - begin)
        checkpoint.writer.finish()
    print("seconds", *seconds)
resources.close()
"""


def measure(millions: int) -> list[float]:
    """Return the seconds of torch.save, of a whole save, and of what the training waits for."""
    with tempfile.TemporaryDirectory() as folder:
        project = render({"distributed": "none", "logger": "none"}, Path(folder))
        command = [sys.executable, "-c", PROGRAM, str(millions)]
        result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    turns = [list(map(float, line.split()[1:])) for line in result.stdout.splitlines()]
    return [statistics.median(seconds) for seconds in zip(*turns[1:], strict=True)]


def get_section() -> str:
    """Measure models of several sizes, and return a Markdown table."""
    lines = ["| parameters | checkpoint | `torch.save`, flushed | checked and written | waits |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for millions in MILLIONS:
        plain, whole, waiting = measure(millions)
        lines.append(
            f"| {millions} million | {12 * millions} MB | {plain * 1000:.0f} ms "
            f"| {whole / plain:.2f} x | {waiting / whole:.2f} x |"
        )
    lines.append("")
    lines.append(
        "A checkpoint is checked for NaN and written beside its place. The training waits for the "
        "share of that time in the last column: above 64 MiB, only for a copy in memory."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(), end="")
