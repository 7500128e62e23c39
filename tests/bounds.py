"""The lowest versions that the rendered projects allow, really run.

    python tests/bounds.py [FOLDER]

makes a virtual environment in FOLDER, by default a temporary one, with exactly these versions, and
runs each task in it with --quick. Exit code 1 if a run fails.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from rendering import CHOICES, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def find_lowest(project: Path) -> list[str]:
    """Return the dependencies of a project, each in its lowest version."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    lowest = []
    for requirement in settings["project"]["dependencies"]:
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
    install = [python, "-m", "pip", "install", "--quiet", *sorted(lowest)]
    subprocess.run(install, check=True)
    print(f"installed: {', '.join(sorted(lowest))}")
    failures = 0
    for task, project in projects.items():
        command = [python, "-W", "ignore", "main.py", "--quick", "--quiet", "--device", "cpu"]
        result = subprocess.run(command, cwd=project, capture_output=True, text=True)
        is_well = result.returncode == 0 and not result.stderr
        failures += not is_well
        print(f"{task:<26}{'works' if is_well else result.stderr}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
