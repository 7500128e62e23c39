"""The language model beside a plain loop with the settings that nanoGPT publishes for a CPU.

    python benchmarks/language.py [seeds] [FILE]

Both train 2,000 steps of 12 windows of 64 characters on one thread: by default on the sources of
asyncio, the project's built-in data, else on a text file. They take turns, a process each. The
plain loop has a GPT of 4 layers, 4 heads and 128 features with learned positions, AdamW, warm-up, a
cosine schedule and clipping; the project has the same size, a learning rate for it, and else its
defaults.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLAIN = Path(__file__).with_name("language_plain.py")
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

STEPS = 2000
FEWER_STEPS = 1200  # of a run of the project that is to reach the plain loop's loss
SETTINGS = ["--context", "64", "--batch-size", "12", "--layers", "4", "--width", "128"]
SETTINGS += ["--epochs", "1", "--device", "cpu"]
RATE = ["--lr", "0.003"]  # half of the default, for twice the default width
TABLE = """| {name}, {seeds} seeds | steps | validation loss, nats a character | tokens/s | time |
|---|---:|---:|---:|---:|
| plain loop | {steps:,} | {plain_loss} | 1 x | 1 x |
| rendered project | {steps:,} | {loss} | {speed} x | {time} x |
| the same, fewer steps | {fewer_steps:,} | {fewer_loss} | {fewer_speed} x | {fewer_time} x |

The plain loop has the settings that nanoGPT publishes for a CPU; the project has the same size,
half of its default learning rate for twice its default width, and else its defaults. Losses are
means over the same windows. Times are of the CPU in the training loop, each beside the plain loop
of the same seed. What a step of the project takes more is, above all, the rotation of queries and
keys, for which the plain loop has learned positions.
"""
PROJECT = """
import json, sys, time
import main as script
from my_project.engine.runtime import start

train_one_epoch = script.train_one_epoch
seconds = 0.0

def measured(*arguments):
    global seconds
    begin = time.process_time()
    scalars = train_one_epoch(*arguments)
    seconds += time.process_time() - begin
    return scalars

script.train_one_epoch = measured
args = script.parse_arguments(sys.argv[1:])
with start(args) as runtime:
    script.main(args, runtime)
lines = (args.run_dir / "metrics.jsonl").read_text().splitlines()
losses = [json.loads(line)["val/loss"] for line in lines if "val/loss" in line]
print(json.dumps({"seconds": seconds, "loss": losses[-1]}))
"""


def run(project: Path, *command: object) -> dict[str, Any]:
    """Run Python in the project on one thread; return the last line that it prints."""
    words = [sys.executable, *map(str, command)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)}
    result = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def describe(values: list[float]) -> str:
    """Return mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {spread:.3f}"


def get_section(seeds: int = 3, file: str = "") -> str:
    """Train both with several seeds, and return a Markdown table."""
    answers = {"task": "language_modeling", "distributed": "none", "logger": "none"}
    plain: list[dict[str, Any]] = []
    own: dict[int, list[dict[str, Any]]] = {STEPS: [], FEWER_STEPS: []}
    with tempfile.TemporaryDirectory() as folder:
        project = render(answers, Path(folder))
        settings = list(SETTINGS)
        if file:
            (project / "own").mkdir()
            shutil.copy(file, project / "own" / "text.txt")
            settings += ["--dataset", "text", "--data-dir", "own"]
        for seed in range(seeds):
            plain.append(run(project, PLAIN, STEPS, seed, *settings))
            for steps, results in own.items():
                options = [*settings, "--seed", seed, "--quiet", "--steps-per-epoch", steps, *RATE]
                options += ["--run-dir", f"runs/{seed}-{steps}"]
                results.append(run(project, "-c", PROJECT, *options))
    cells = {"plain_loss": describe([result["loss"] for result in plain])}
    for prefix, steps in (("", STEPS), ("fewer_", FEWER_STEPS)):
        times = [
            result["seconds"] / other["seconds"]
            for result, other in zip(own[steps], plain, strict=True)
        ]
        cells[f"{prefix}loss"] = describe([result["loss"] for result in own[steps]])
        cells[f"{prefix}time"] = describe(times)
        cells[f"{prefix}speed"] = describe([steps / STEPS / time for time in times])
    name = Path(file).name if file else "the sources of asyncio"
    return TABLE.format(name=name, seeds=seeds, steps=STEPS, fewer_steps=FEWER_STEPS, **cells)


if __name__ == "__main__":
    print(get_section(int(sys.argv[1]) if len(sys.argv) > 1 else 3, *sys.argv[2:]), end="")
