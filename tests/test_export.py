"""export.py: programs without the project compute what its model does."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rendering import render
from running import python, run


def make_inputs(task: str, folder: Path) -> list[Path]:
    """Write an input as predict.py of a task takes it."""
    folder.mkdir()
    path = folder / "image.png"
    Image.effect_noise((24, 20), 60).convert("RGB").save(path)
    return [path]


def programs(readme: str) -> list[str]:
    """Return the programs that a README shows."""
    return [part.partition("```")[0] for part in readme.split("```python\n")[1:]]


@pytest.mark.parametrize("task", ["image_classification"])
def test_exported_models_need_no_project(tmp_path, task):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    run(project, "--device", "cpu", "--quiet", "--quick", "--run-dir", "runs/a")
    inputs = make_inputs(task, tmp_path / "inputs")
    out, _ = python(project, "export.py", "runs/a", *inputs, "--card")
    for name in ("model.safetensors", "model.pt2", "model.onnx"):
        assert name in out
    python(project, "predict.py", "runs/a", *inputs, "--device", "cpu")
    with open(project / "runs" / "a" / "predictions.csv", encoding="utf-8", newline="") as file:
        expected = next(csv.DictReader(file))["class"]
    export = project / "runs" / "a" / "export"
    readme = (export / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\npipeline_tag: ")
    assert json.loads((export / "info.json").read_text(encoding="utf-8"))["classes"]
    for path in inputs:
        (export / path.name).write_bytes(path.read_bytes())
    assert len(programs(readme)) == 2
    for program in programs(readme):
        found = subprocess.run(
            [sys.executable, "-c", program], cwd=export, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == expected
