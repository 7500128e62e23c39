"""Results of the default options on the built-in data of each task.

    python benchmarks/results.py [TASK ...]

prints the rows of the table in README.md, and renews the figures of these tasks in docs/.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import CHOICES, render  # noqa: E402
from results import RESULTS  # noqa: E402


def measure(task: str, folder: Path) -> str:
    """Train a task with its defaults, on one thread of the CPU, and return its row of the table."""
    project = render({"task": task, "distributed": "none", "logger": "none"}, folder)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "main.py", "--device", "cpu", "--run-dir", "run"]
    result = subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pattern = r"^model +(\S+), ([\d,]+) parameters"
    model, parameters = re.search(pattern, result.stdout, re.MULTILINE).groups()
    for picture in (ROOT / "docs").glob(f"{task}-*.png"):
        shutil.copy(project / "run" / picture.name.removeprefix(f"{task}-"), picture)
    test = json.loads((project / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    known = RESULTS[task]
    value = f"{test[f'test/{known.metric}']:.3g}"
    cells = [f"`{task}`", f"`{model}`", parameters, known.label, value, known.trivial]
    return f"| {' | '.join([*cells, f'{seconds:.0f}'])} |"


if __name__ == "__main__":
    header = (
        "task | default model | parameters | test metric | result | trivial answer | CPU seconds"
    )
    print(f"| {header} |")
    print("|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or CHOICES["task"]:
        with tempfile.TemporaryDirectory() as temporary:
            print(measure(name, Path(temporary)), flush=True)
