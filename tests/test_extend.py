"""A new task, tracker or backend is a folder and a line, as CONTRIBUTING.md says."""

import json
import re
import shutil
from pathlib import Path

import pytest
from checking import check_style, check_types
from rendering import CHOICES, CONTEXT, ROOT, copy_template, render
from running import PROGRAMS, read_records, run

pytestmark = pytest.mark.xdist_group("product")  # one worker, one cache of mypy

TASK = PROGRAMS / "line_fitting"  # the folder of a task
TRACKER = PROGRAMS / "lines"  # the folder of a tracker


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, for a test to add to."""
    return copy_template(tmp_path / "template")


def add_choice(template: Path, prompt: str, choice: str) -> None:
    """Add a name to a list of cookiecutter.json: the one line."""
    context = template / "cookiecutter.json"
    text, first = context.read_text(), json.dumps(CHOICES[prompt][0])
    start = text.index(f'\n  "{prompt}": [')
    context.write_text(text[:start] + text[start:].replace(first, f'{first}, "{choice}"', 1))
    choices = json.loads(context.read_text())[prompt]
    assert choices == [CHOICES[prompt][0], choice, *CHOICES[prompt][1:]]


def test_a_new_task_is_a_folder_and_a_line(template, mypy_cache, tmp_path):
    shutil.copytree(TASK, template / "templates" / "tasks" / "line_fitting")
    add_choice(template, "task", "line_fitting")
    project = render({"task": "line_fitting"}, tmp_path / "out", hooks=True, template=template)
    check_style(project)
    check_types([project], tmp_path / "types", mypy_cache)
    run(project, "--device", "cpu", "--run-dir", "runs/x")
    assert read_records(project / "runs" / "x")[-1]["test/mae"] < 0.2
    assert (project / "runs" / "x" / "text.txt").read_text().startswith("test: {'mae': tensor(")
    default = render({}, tmp_path / "default")
    assert (project / "main.py").read_text() == (default / "main.py").read_text()


def test_a_new_tracker_and_a_new_backend_are_folders_and_lines(template, mypy_cache, tmp_path):
    shutil.copytree(TRACKER, template / "templates" / "trackers" / "lines")
    add_choice(template, "logger", "lines")
    backends = template / "templates" / "distributed"
    shutil.copytree(backends / "ddp", backends / "twins")
    add_choice(template, "distributed", "twins")
    answers = {"task": "tabular", "logger": "lines", "distributed": "twins"}
    project = render(answers, tmp_path / "out", hooks=True, template=template)
    check_style(project)
    check_types([project], tmp_path / "types", mypy_cache)
    run(project, "--device", "cpu", "--quick", "--run-dir", "runs/x", processes=2)
    lines = (project / "runs" / "x" / "lines.txt").read_text().splitlines()
    assert lines[0].startswith("start ") and lines[-1].startswith("summary ")
    logged = [int(line.split()[1]) for line in lines if line.startswith("scalars ")]
    steps = [record["step"] for record in read_records(project / "runs" / "x")]
    assert sorted(set(logged)) == sorted(set(steps))
    assert any(line.split()[2] == "curves" for line in lines if line.startswith("figure "))


def test_contributing_names_every_file():
    """CONTRIBUTING.md names the files of a task's folder; `_uses` names modules of some tasks."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    chapter = text.split("## Adding a task")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([\w.]+)`", " ".join(cells)))
    needed = {path.name for path in TASK.iterdir() if path.is_file()}
    assert named - {"requirements.txt"} == needed
    for task in CHOICES["task"]:
        files = {path.name for path in (ROOT / "templates" / "tasks" / task).iterdir()}
        assert needed <= files <= named | {f"{module}.py" for module in CONTEXT["_uses"]}


def test_contributing_names_the_methods_of_a_tracker():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    chapter = text.split("## Adding a tracker")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)", chapter, re.MULTILINE))
    code = (TRACKER / "tracker.py").read_text()
    assert named == set(re.findall(r"^    (?:def )?(\w+)(?:\(| = )", code, re.MULTILINE))
