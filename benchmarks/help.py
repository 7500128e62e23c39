"""CPU seconds of `main.py --help`, beside those of importing PyTorch.

    python benchmarks/help.py [runs]

Each is a fresh process. They take turns, and the least of each kind is shown, as other work on the
machine only ever adds. The files were read before, so that no disk is measured.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

TASKS = ("image_classification", "tabular")  # with and without torchvision


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return the CPU time of a Python process."""
    before = os.times()
    words = [sys.executable, *command]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def measure(project: Path, runs: int) -> dict[str, float]:
    """Return the least CPU time of each kind of process."""
    kinds = {
        "import torch": ["-c", "import torch"],
        "import torch, torchvision": ["-c", "import torch, torchvision"],
        "main.py --help": ["main.py", "--help"],
    }
    least = dict.fromkeys(kinds, float("inf"))
    for _ in range(runs + 1):  # the first one only reads the files
        for kind, command in kinds.items():
            least[kind] = min(least[kind], cpu_seconds(command, project))
    return least


def get_section(runs: int = 5) -> str:
    """Measure both tasks, and return a Markdown table."""
    lines = ["| task | `--help` | x `import torch` | x `import torch, torchvision` |"]
    lines.append("|---|---:|---:|---:|")
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            least = measure(render({"task": task, "logger": "none"}, Path(folder)), runs)
        own = least["main.py --help"]
        torch = own / least["import torch"]
        torchvision = own / least["import torch, torchvision"]
        lines.append(f"| `{task}` | {own:.2f} s | {torch:.2f} | {torchvision:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
