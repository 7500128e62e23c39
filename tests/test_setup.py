"""What sets a project up for others: AGENTS.md, and the files for containers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rendering import render
from running import rest_is_full

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"`(\w+\.py)`: ((?:`\w+`(?:, )?)+)")


def do(command: str, folder: Path, **environment: object) -> str:
    """Run a command in a shell as a person does, and return what it prints."""
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    result = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


# ------------------------------------------------------------------------------------- AGENTS.md


def read_commands(project: Path) -> list[str]:
    """Return the commands of AGENTS.md, without their comments."""
    (block,) = BLOCK.findall((project / "AGENTS.md").read_text(encoding="utf-8"))
    return [line.partition(" #")[0].strip() for line in block.splitlines()]


@pytest.mark.parametrize(
    ("task", "backend", "whole"),
    rest_is_full([("tabular", "none", False), ("image_classification", "ddp", True)]),
)
def test_commands_of_agents_md(tmp_path, task, backend, whole):
    """But for the installation; mypy and the project's tests, which take long, in full."""
    project = render({"task": task, "distributed": backend, "logger": "none"}, tmp_path)
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    install, activate, *commands = read_commands(project)
    assert install == "uv sync" and activate == "source .venv/bin/activate"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = {}
    for command in commands:
        if whole or not re.search("mypy|pytest", command):
            shown[command] = do(command, project, PATH=path, PYTHONDONTWRITEBYTECODE=1)
    assert "--epochs" in shown["python main.py --help"]
    assert "test" in shown["python main.py --quick"]
    (run_dir,) = (project / "runs").iterdir()
    assert {"summary.md", "metrics.jsonl"} <= {path.name for path in run_dir.iterdir()}
    assert run_dir.name in shown["python compare.py runs/*"]
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before
    assert len(commands) == 6


@pytest.mark.xdist_group("product")  # one process renders the product, once
def test_agents_md_names_what_is_there(product):
    """The places to edit are in each project; it is short."""
    for project in product:
        text = project.files["AGENTS.md"]
        assert len(text.splitlines()) <= 27
        places = TABLE.findall(text)
        assert len(places) == 5
        for file, names in places:
            source = project.files[f"my_project/{file}"]
            for name in re.findall(r"\w+", names):
                assert re.search(rf"^(def )?{name}\b", source, re.MULTILINE), f"{file}: {name}"
