"""The lowest versions that the rendered projects allow, really run.

    python tests/bounds.py [FOLDER]

makes a virtual environment in FOLDER, by default a temporary one, with exactly these versions. In
it, each task is trained with --quick, a sweep is run, the project's own tests of predict.py pass,
and those of export.py here. Exit code 1 if one of these fails.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from itertools import chain
from pathlib import Path

from rendering import CHOICES, ROOT, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


TOOLS = ["pytest", "cookiecutter"]  # of the tests, in any version
COMMANDS = {
    "main": "main.py --quick --quiet --device cpu --run-dir runs/mine",
    "predict": "-m pytest -q tests/test_predictions.py",
    "sweep": "sweep.py --lr 0.001,0.01 --sampler grid -- --quick --device cpu",
}


def find_lowest(project: Path) -> list[str]:
    """Return the dependencies of a project and its extras, each in its lowest version."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    lowest = []
    extras = settings["project"]["optional-dependencies"].values()
    for requirement in chain(settings["project"]["dependencies"], *extras):
        if ";" not in requirement:
            lowest.append(re.sub(r">=", "==", requirement))
    return lowest


def main(folder: Path) -> int:
    projects = {}
    lowest: set[str] = set()
    for task in CHOICES["task"]:
        projects[task] = render({"task": task, "distributed": "none"}, folder / task)
        lowest.update(find_lowest(projects[task]))
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", *TOOLS, *sorted(lowest)]
    subprocess.run(install, check=True)
    print(f"installed: {', '.join(sorted(lowest))}")
    failures = 0
    for task, project in projects.items():
        for name, command in COMMANDS.items():
            words = [python, "-W", "ignore", *command.split()]
            result = subprocess.run(words, cwd=project, capture_output=True, text=True)
            is_well = result.returncode == 0 and not (name == "main" and result.stderr)
            failures += not is_well
            outcome = "works" if is_well else result.stdout + result.stderr
            print(f"{task:<26}{name:<10}{outcome}", flush=True)
    export = [python, "-m", "pytest", "-q", Path(__file__).with_name("test_export.py")]
    failures += subprocess.run(export, cwd=ROOT).returncode
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
