"""CPU seconds of one rendering, hooks included, beside those of importing cookiecutter.

    python benchmarks/render.py [runs]

Each is a fresh process. They take turns, and the least of each kind is shown, as other work on the
machine only ever adds.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = {
    "import cookiecutter.main": "import cookiecutter.main",
    "render, hooks included": "from cookiecutter.main import cookiecutter; "
    f"cookiecutter({str(ROOT)!r}, no_input=True, output_dir='.')",
    "render without hooks": "from cookiecutter.main import cookiecutter; "
    f"cookiecutter({str(ROOT)!r}, no_input=True, output_dir='.', accept_hooks=False)",
}


def cpu_seconds(code: str) -> float:
    """Return the CPU time of a process that runs `code` in an empty folder, and of its children."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(f"replay_dir: {folder}/replay\n")
        environment = os.environ | {"COOKIECUTTER_CONFIG": str(config)}
        before = os.times()
        command = [sys.executable, "-c", code]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def get_section(runs: int = 10) -> str:
    """Measure every kind `runs` times, and return a Markdown table."""
    least = dict.fromkeys(KINDS, float("inf"))
    for _ in range(runs):
        for kind, code in KINDS.items():
            least[kind] = min(least[kind], cpu_seconds(code))
    lines = ["| a new project | CPU seconds | x the import |", "|---|---:|---:|"]
    for kind, seconds in least.items():
        ratio = seconds / least["import cookiecutter.main"]
        lines.append(f"| {kind} | {seconds:.2f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
