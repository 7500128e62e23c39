"""A ninth task is a folder and a line: what CONTRIBUTING.md tells is done here."""

import json
import re
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


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template with one more folder, and one more name in a list."""
    copy = copy_template(tmp_path / "template")
    folder = copy / "templates" / "tasks" / "line_fitting"
    folder.mkdir()
    for name, text in TASK.items():
        (folder / name).write_text(text)
    context = copy / "cookiecutter.json"
    text = context.read_text()
    assert text.count('    "image_classification",\n') == 1
    context.write_text(
        text.replace('    "image_classification",\n', '    "image_classification",\n    "line_fitting",\n')
    )
    assert len(json.loads(context.read_text())["task"]) == len(CHOICES["task"]) + 1
    return copy


def test_a_new_task_is_a_folder_and_a_line(template, tmp_path):
    project = render({"task": "line_fitting"}, tmp_path / "out", hooks=True, template=template)
    for command in (["ruff", "check", "--no-cache", "."], ["mypy", "--cache-dir", tmp_path / "cache"]):
        subprocess.run([sys.executable, "-m", *map(str, command)], cwd=project, check=True)
    run(project, "--device", "cpu", "--run-dir", "runs/x")
    last = json.loads((project / "runs" / "x" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["test/mae"] < 0.2
    assert "tensor" in (project / "runs" / "x" / "metrics.txt").read_text()
    assert (project / "main.py").read_text() == (render({}, tmp_path / "default") / "main.py").read_text()


def test_contributing_names_every_file():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    chapter = text.split("## Adding a task")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([\w.]+)`", " ".join(cells)))
    assert named - {"requirements.txt"} == TASK.keys()
    for task in CHOICES["task"]:
        files = {path.name for path in (ROOT / "templates" / "tasks" / task).iterdir()}
        assert TASK.keys() <= files <= named
