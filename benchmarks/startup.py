"""CPU seconds of `main.py --help`, of the way to the first step, and of the parts of a whole run.

    python benchmarks/startup.py [runs]

Each is a fresh process on one thread. Those of --help and of the imports take turns, and the least
of each kind is shown, as other work on the machine only ever adds. The files were read before, so
that no disk is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

TASKS = ("image_classification", "tabular")  # with and without torchvision
MEASURED = """
import builtins, json, threading, time
seconds = {"imports": 0.0}
first = []
importing = builtins.__import__
nested = threading.local()  # the tracker has a thread of its own

def timed_import(*arguments, **options):
    depth = getattr(nested, "depth", 0)
    nested.depth = depth + 1
    begin = time.thread_time()
    try:
        return importing(*arguments, **options)
    finally:
        nested.depth = depth
        if depth == 0:
            seconds["imports"] += time.thread_time() - begin

builtins.__import__ = timed_import
import main as script
from my_project.engine.checkpoint import Checkpoint
from my_project.engine.logger import Logger
from my_project.engine.runtime import start

def measure(owner, name, label):
    function = getattr(owner, name)
    def measured(*arguments, **options):
        begin = time.process_time() - seconds["imports"]
        result = function(*arguments, **options)
        used = time.process_time() - seconds["imports"] - begin
        seconds[label] = seconds.get(label, 0.0) + used
        return result
    setattr(owner, name, measured)

log_step = Logger.log_step

def note_first_step(*arguments, **options):
    first.append(time.process_time() - seconds["imports"])
    Logger.log_step = log_step
    return log_step(*arguments, **options)

Logger.log_step = note_first_step
measure(script, "train_one_epoch", "training")
measure(script, "evaluate", "evaluation")
measure(Logger, "log_figures", "figures")
measure(Checkpoint, "save", "checkpoints")
args = script.parse_arguments(["--quiet", "--device", "cpu"])
with start(args) as runtime:
    script.main(args, runtime)
print(json.dumps([time.process_time(), seconds, first[0]]))
"""


def run(command: list[str], folder: Path) -> tuple[float, str]:
    """Run Python; return its CPU time and what it prints."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = os.times()
    words = [sys.executable, *command]
    result = subprocess.run(
        words, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system, result.stdout


def measure_help(project: Path, runs: int) -> dict[str, float]:
    """Return the least CPU time of each kind of process."""
    kinds = {
        "import torch": ["-c", "import torch"],
        "import torch, torchvision": ["-c", "import torch, torchvision"],
        "main.py --help": ["main.py", "--help"],
    }
    least = dict.fromkeys(kinds, float("inf"))
    for _ in range(runs + 1):  # the first one only reads the files
        for kind, command in kinds.items():
            least[kind] = min(least[kind], run(command, project)[0])
    return least


def measure_run(project: Path, runs: int) -> tuple[float, dict[str, float]]:
    """Return the seconds to the first step without imports, and those of the parts of a run."""
    first, least = float("inf"), float("inf")
    parts: dict[str, float] = {}
    for _ in range(runs):
        whole, found, step = json.loads(run(["-c", MEASURED], project)[1].splitlines()[-1])
        first = min(first, step)
        if whole < least:
            least = whole
            parts = found | {"the rest": whole - sum(found.values())}
    return first, parts


def get_section(runs: int = 5) -> str:
    """Measure both tasks, and return Markdown."""
    lines = ["| task | `--help` | x `import torch` | x `import torch, torchvision` |"]
    lines[0] += " first step, after its imports |"
    lines.append("|---|---:|---:|---:|---:|")
    costs = []
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            project = render({"task": task}, Path(folder))
            least = measure_help(project, runs)
            first, parts = measure_run(project, 3)
        own = least["main.py --help"]
        torch = own / least["import torch"]
        torchvision = own / least["import torch, torchvision"]
        lines.append(
            f"| `{task}` | {own:.2f} s | {torch:.2f} | {torchvision:.2f} | {first:.2f} s |"
        )
        ordered = sorted(parts.items(), key=lambda part: -part[1])
        shares = [f"{label} {part:.1f} s" for label, part in ordered]
        costs.append(f"- `{task}`: {', '.join(shares)}\n")
    lines.append("\nThe costs of a whole run with the default answers and options, in CPU time:\n")
    return "\n".join(lines) + "\n" + "".join(costs)


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
