"""The fast lane, `make check`: the default project is rendered, read, run and resumed."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rendering import Project, render


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The default project, for this module alone."""
    return Project({}, render({}, tmp_path_factory.mktemp("check"), hooks=True))


def call(folder: Path, *command: str) -> None:
    """Run a module or a script with Python, and fail with what it printed if it fails."""
    words = [sys.executable, *command]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.check
def test_python_compiles(project):
    for path, text in project.python().items():
        compile(text, path, "exec")


@pytest.mark.check
def test_style(project):
    call(project.folder, "-m", "ruff", "check", "--no-cache")
    call(project.folder, "-m", "ruff", "format", "--check", "--no-cache")


@pytest.mark.check
def test_a_run_and_its_resume(project):
    for options in [[], ["--resume"]]:
        call(
            project.folder, "main.py", "--device", "cpu", "--quick", "--run-dir", "runs/x", *options
        )
    for name in ["config.json", "metrics.jsonl", "summary.md", "checkpoints/best.pt"]:
        assert (project.folder / "runs" / "x" / name).exists()


def test_the_hooks_of_pre_commit(project):
    """Each hook of the project accepts the project as it is rendered, and changes nothing."""
    (repository,) = yaml.safe_load(project.files[".pre-commit-config.yaml"])["repos"]
    assert repository["repo"] == "local"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format", "mypy"]
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        files = list(project.python()) if hook.get("pass_filenames", True) else []
        call(project.folder, "-m", *shlex.split(hook["entry"]), *files)
    for path, text in project.files.items():
        assert (project.folder / path).read_text(encoding="utf-8") == text, path
