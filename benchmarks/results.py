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
from results import OTHER_DATA, RESULTS  # noqa: E402


def measure(task: str, folder: Path, dataset: str = "") -> str:
    """Train a task with its defaults, on one thread of the CPU, and return its row of the table.

    `dataset` is another one than the default.
    """
    project = render({"task": task, "distributed": "none", "logger": "none"}, folder)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "main.py", "--device", "cpu", "--run-dir", "run"]
    command += ["--dataset", dataset] if dataset else []
    result = subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pattern = r"^model +(\S+), ([\d,]+) parameters"
    model, parameters = re.search(pattern, result.stdout, re.MULTILINE).groups()
    for picture in () if dataset else (ROOT / "docs").glob(f"{task}-*.png"):
        shutil.copy(project / "run" / picture.name.removeprefix(f"{task}-"), picture)
    test = json.loads((project / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    known = OTHER_DATA[task, dataset] if dataset else RESULTS[task]
    label = f"`{task}`, `{dataset}`" if dataset else f"`{task}`"
    value = f"{test[f'test/{known.metric}']:.3g}"
    cells = [label, f"`{model}`", parameters, known.label, value, known.trivial]
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
        for task, dataset in OTHER_DATA:
            if task == name:
                with tempfile.TemporaryDirectory() as temporary:
                    print(measure(task, Path(temporary), dataset), flush=True)
