"""A task, a logger or a backend more is a folder and a line: what CONTRIBUTING.md tells is done here."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rendering import CHOICES, ROOT, copy_template, render
from running import run

TASK = {
    "models.py": '''"""The architectures that --model chooses from."""

from collections.abc import Callable

from torch import nn

MODELS: dict[str, Callable[..., nn.Module]] = {"line": nn.Linear}
''',
    "datasets.py": '''"""The splits that --dataset chooses from."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch

from loader import InMemory

Splits = tuple[Any, Any, Any]


def line(args: Namespace) -> Splits:
    """Points on a noisy line through the origin."""
    inputs = torch.linspace(-1, 1, args.points)[:, None]
    targets = 3 * inputs + 0.1 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
    train, val, test = (InMemory(inputs[start::3], targets[start::3], info={}) for start in range(3))
    return train, val, test


DATASETS: dict[str, Callable[[Namespace], Splits]] = {"line": line}
''',
    "objective.py": '''Objective = Callable[[nn.Module, Any], tuple[Tensor, Tensor, Tensor]]


def build_model(args: Namespace, dataset: Any) -> nn.Module:
    """Return the architecture for inputs and targets like those of `dataset`."""
    return MODELS[args.model](len(dataset[0][0]), len(dataset[0][1]))


def get_objective(args: Namespace) -> Objective:
    """Return the squared error."""

    def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        inputs, targets = batch
        predictions = model(inputs)
        return F.mse_loss(predictions, targets), predictions, targets

    return objective


def get_metrics(runtime: Runtime, dataset: Any) -> MetricCollection:
    """Return what is measured in evaluation."""
    return MetricCollection({"mae": torchmetrics.MeanAbsoluteError()}).to(runtime.device)
''',
    "arguments.py": """task.add_argument("--points", type=number(int, 9), default=600, help="samples to draw")
""",
    "defaults.jinja": """# {% set model = "line" %}
# {% set dataset = "line" %}
# {% set epochs = 10 %}
# {% set batch_size = 10 %}
# {% set lr = 0.1 %}
# {% set weight_decay = 0.0 %}
# {% set warmup = 0.1 %}
# {% set clip = 0.0 %}
# {% set monitor = "mae" %}
""",
    "pictures.py": '''"""What the model makes of some samples, as pictures."""

import torch
from matplotlib.figure import Figure
from torch import nn
from torchmetrics import MetricCollection

from loader import Loader
from runtime import Runtime


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Write down the metrics."""
    return {"metrics": f"{runtime.device}: {metrics.compute()}, {model(loader.sample_batch(3)[0]).tolist()}"}
''',
    "readme.md": "## The data\n\nA line.\n\n",
    "example.sh": '#!/usr/bin/env bash\npython main.py --points 6000 "$@"\n',
    "test_task.py": '"""Nothing to test."""\n',
}


WRITER = '''"""Writes the run into a text file of its own."""

from pathlib import Path
from typing import Any


class Writer:
    """Writes lines of text into the run folder."""

    appends = True

    def __init__(self, folder: Path, _options: dict[str, Any], _run_id: str):
        self.file = (folder / "lines.txt").open("a", encoding="utf-8")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        print(step, *sorted(values), file=self.file)

    def picture(self, step: int, name: str, image: Any) -> None:
        print(step, name, image.shape, file=self.file)

    def finish(self) -> None:
        self.file.close()
'''


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, for a test to add to."""
    return copy_template(tmp_path / "template")


def add_choice(template: Path, prompt: str, choice: str) -> None:
    """Add a name to a list of cookiecutter.json: the one line."""
    context = template / "cookiecutter.json"
    text, first = context.read_text(), json.dumps(CHOICES[prompt][0])
    start = text.index(f'  "{prompt}": [')
    context.write_text(text[:start] + text[start:].replace(first, f'{first}, "{choice}"', 1))
    assert json.loads(context.read_text())[prompt] == [CHOICES[prompt][0], choice, *CHOICES[prompt][1:]]


def check(project: Path, cache: Path) -> None:
    """Check style, format and types of a project."""
    for command in (["ruff", "check", "--no-cache", "."], ["ruff", "format", "--check", "--no-cache", "."]):
        subprocess.run([sys.executable, "-m", *command], cwd=project, check=True)
    subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", str(cache)], cwd=project, check=True)


def test_a_new_task_is_a_folder_and_a_line(template, tmp_path):
    folder = template / "templates" / "tasks" / "line_fitting"
    folder.mkdir()
    for name, text in TASK.items():
        (folder / name).write_text(text)
    add_choice(template, "task", "line_fitting")
    project = render({"task": "line_fitting"}, tmp_path / "out", hooks=True, template=template)
    check(project, tmp_path / "cache")
    run(project, "--device", "cpu", "--run-dir", "runs/x")
    last = json.loads((project / "runs" / "x" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["test/mae"] < 0.2
    assert "tensor" in (project / "runs" / "x" / "metrics.txt").read_text()
    assert (project / "main.py").read_text() == (render({}, tmp_path / "default") / "main.py").read_text()


def test_a_new_logger_and_a_new_backend_are_folders_and_lines(template, tmp_path):
    (template / "templates" / "loggers" / "lines").mkdir()
    (template / "templates" / "loggers" / "lines" / "writer.py").write_text(WRITER)
    add_choice(template, "logger", "lines")
    shutil.copytree(template / "templates" / "distributed" / "ddp", template / "templates" / "distributed" / "twins")
    add_choice(template, "distributed", "twins")
    answers = {"task": "tabular_regression", "logger": "lines", "distributed": "twins"}
    project = render(answers, tmp_path / "out", hooks=True, template=template)
    check(project, tmp_path / "cache")
    run(project, "--device", "cpu", "--quick", "--run-dir", "runs/x", processes=2)
    lines = (project / "runs" / "x" / "lines.txt").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in (project / "runs" / "x" / "metrics.jsonl").read_text().splitlines()]
    assert [int(line.split()[0]) for line in lines if "loss" in line] == steps
    assert any(line.split()[1] == "curves" for line in lines)


def test_contributing_names_every_file():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    chapter = text.split("## Adding a task")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([\w.]+)`", " ".join(cells)))
    assert named - {"requirements.txt"} == TASK.keys()
    for task in CHOICES["task"]:
        files = {path.name for path in (ROOT / "templates" / "tasks" / task).iterdir()}
        assert TASK.keys() <= files <= named
