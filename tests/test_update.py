"""A project takes up a newer template by the commands that its README gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

from rendering import RAW_PROJECT, copy_template, render

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def shell(script: str, cwd: Path, answers: str = "") -> str:
    """Run a script as a user would paste it, stopping at the first error, and return what it printed."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=os.environ | ENVIRONMENT,
        input=answers,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def edit(file: Path, old: str, new: str) -> None:
    """Replace a part of a file that must be there."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_project_takes_up_a_newer_template(tmp_path):
    template = copy_template(tmp_path / "template")
    project = render({"author_name": "Ada", "logger": "none", "license": "none"}, tmp_path, template=template)
    recipe = re.search(r"```bash\n(git show-ref.*?)```", (project / "README.md").read_text(), re.DOTALL)[1]
    assert "uvx cookiecutter gh:OWNER/pytorch-base" in recipe
    recipe = recipe.replace(
        "uvx cookiecutter gh:OWNER/pytorch-base", f"'{sys.executable}' -m cookiecutter '{template}'"
    )

    shell("git init --quiet --initial-branch main && git add --all && git commit --quiet -m first", project)
    edit(
        project / "main.py",
        "import",
        "import sys\nimport",
    )
    shell("git commit --quiet --all -m mine", project)

    raw = template / RAW_PROJECT.name
    (raw / "new.py").write_text('"""New in the template."""\n')
    edit(raw / ".gitignore", "/runs/", "/runs/\n/wandb/")
    (raw / "example_runs" / "gone.sh").write_text("")
    shell(recipe, project)
    assert (project / "new.py").exists() and (project / "example_runs" / "gone.sh").exists()
    assert "import sys" in (project / "main.py").read_text()
    assert "/wandb/" in (project / ".gitignore").read_text()
    assert not (project / "LICENSE").exists(), "the answers were not kept"
    assert '"author_name": "Ada"' in (project / ".cookiecutter.json").read_text()

    # a second time, where the template drops a file and asks a new question
    (raw / "example_runs" / "gone.sh").unlink()
    edit(template / "cookiecutter.json", '"license": [', '"colour": ["red", "blue"],\n  "license": [')
    shell(recipe, project, answers="2\n")
    assert '"colour": "blue"' in (project / ".cookiecutter.json").read_text()
    assert not (project / "example_runs" / "gone.sh").exists()
    assert "import sys" in (project / "main.py").read_text()
    assert shell("git status --porcelain", project) == ""
    assert shell("git worktree list", project).count("\n") == 1
