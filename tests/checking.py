"""The tools that check the code of rendered projects: ruff and mypy."""

import re
import shutil
import subprocess
import sys
from pathlib import Path


def use_tool(*command: object, cwd: Path | None = None) -> None:
    """Run a module of Python, and fail with what it printed if it fails."""
    words = [sys.executable, "-m", *map(str, command)]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def check_style(*projects: Path) -> None:
    """Check the rules and the format of projects."""
    use_tool("ruff", "check", "--no-cache", *projects)
    use_tool("ruff", "format", "--check", "--no-cache", *projects)


def check_types(projects: list[Path], folder: Path, cache: Path) -> None:
    """Check the types of projects in one run of mypy, which takes long to read torch.

    All their modules are copied into `folder`, under names that end with the project's number.
    """
    for number, project in enumerate(projects):
        package, own_package = project.name, f"{project.name}_{number}"
        scripts = [*project.glob("*.py"), *project.glob("tests/*.py")]
        names = "|".join(path.stem for path in scripts)
        for path in [*scripts, *(project / package).rglob("*.py")]:
            text = path.read_text(encoding="utf-8").replace(package, own_package)
            text = re.sub(rf"(?m)^( *)import ({names})$", rf"\1import \2_{number} as \2", text)
            text = re.sub(rf"(?m)^( *from )({names}) import", rf"\1\2_{number} import", text)
            copy = folder / f"{path.stem}_{number}.py"
            if path not in scripts:
                copy = folder / own_package / path.relative_to(project / package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
    shutil.copy(projects[0] / "pyproject.toml", folder)
    use_tool("mypy", "--cache-dir", cache, cwd=folder)
