"""Checkpoints of models of several sizes, and the end of an epoch of the default run.

    python benchmarks/checkpoints.py

A state is what AdamW trains: weights and two averages of the same size. torch.save, the project's
save and its wait for it take turns in one process; each figure is the median of five turns, and
every file is flushed to the disk. The first turn, in which memory and disk are new, is not counted.
"""

import json
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
EPOCH_ENDS = """
import json, time
import main as script
import torch
from my_project.engine.checkpoint import Checkpoint
from my_project.engine.files import replacing
from my_project.engine.logger import Logger
from my_project.engine.runtime import start

seconds = 0.0
ends = []

def measure(owner, name):
    function = getattr(owner, name)
    def measured(*arguments, **options):
        global seconds
        begin = time.perf_counter()
        result = function(*arguments, **options)
        seconds += time.perf_counter() - begin
        return result
    setattr(owner, name, measured)

def save(checkpoint, state, logger, is_best):
    global seconds
    own_save(checkpoint, state, logger, is_best)
    saved = torch.load(checkpoint.folder / "last.pt", weights_only=True)
    names = ["bare.pt", "bare_best.pt"] if is_best else ["bare.pt"]
    line = (checkpoint.folder.parent / "metrics.jsonl").read_text().splitlines()[-1]
    begin = time.perf_counter()
    for name in names:
        with replacing(checkpoint.folder / name) as path:
            torch.save(saved, path)
    with open(checkpoint.folder / "bare.jsonl", "a") as records:
        print(line, file=records)
    ends.append([seconds, time.perf_counter() - begin])
    seconds = 0.0

measure(Logger, "log_epoch")
measure(Logger, "log_figures")
measure(Checkpoint, "save")
own_save = Checkpoint.save
Checkpoint.save = save
args = script.parse_arguments(["--quiet", "--device", "cpu", "--epochs", "20"])
with start(args) as runtime:
    script.main(args, runtime)
print(json.dumps(ends))
"""


def run(program: str, *arguments: object) -> list[str]:
    """Run a program in a new project; return the lines that it prints."""
    with tempfile.TemporaryDirectory() as folder:
        project = render({"distributed": "none", "logger": "none"}, Path(folder))
        command = [sys.executable, "-c", program, *map(str, arguments)]
        result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def measure(millions: int) -> list[float]:
    """Return the seconds of torch.save, of a whole save, and of what the training waits for."""
    turns = [list(map(float, line.split()[1:])) for line in run(PROGRAM, millions)]
    return [statistics.median(seconds) for seconds in zip(*turns[1:], strict=True)]


def measure_epoch_ends() -> tuple[float, float]:
    """Return the milliseconds of an epoch's end, and how often those of a bare write."""
    ends = json.loads(run(EPOCH_ENDS)[-1])[1:]
    ratios = [seconds / bare for seconds, bare in ends]
    return 1000 * statistics.median(seconds for seconds, _ in ends), statistics.median(ratios)


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
    milliseconds, ratio = measure_epoch_ends()
    lines.append("")
    lines.append(
        f"An epoch of the default run ends in {milliseconds:.0f} ms: its record, its row of the "
        f"table and its checkpoint. That is {ratio:.2f} x the same files written bare."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(), end="")
