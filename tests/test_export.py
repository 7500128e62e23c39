"""export.py: programs without the project compute what its model does."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from rendering import render
from running import python, rest_is_full, run

SMALL = ["--device", "cpu", "--quiet", "--quick"]


def predict_first(project: Path, *inputs: object) -> dict[str, str]:
    """Return the first row that predict.py writes."""
    python(project, "predict.py", "runs/a", *inputs, "--device", "cpu", "--output", "first.csv")
    with open(project / "first.csv", encoding="utf-8", newline="") as file:
        return next(csv.DictReader(file))


def make_image(project: Path) -> Path:
    """Write a small image for the program to read."""
    path = project / "image.png"
    Image.effect_noise((24, 20), 60).convert("RGB").save(path)
    return path


# For each task a function that returns the inputs of export.py, and a check of what programs print.


def classify_image(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = make_image(project)
    expected = predict_first(project, path)["class"]
    return [path], lambda out: out == expected


def segment_image(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = make_image(project)
    python(project, "predict.py", "runs/a", path, "--device", "cpu", "--output", "masks")
    mask = next((project / "masks" / "masks").rglob("*.png"))
    expected = numpy.asarray(Image.open(mask))

    def is_right(out: str) -> bool:
        found = numpy.asarray(Image.open(project / "runs" / "a" / "export" / "mask.png"))
        return bool(out) and (found == expected).mean() > 0.95  # resized after the comparison

    return [path], is_right


def generate_images(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    return [], lambda out: out == "10"


def classify_text(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = project / "text.txt"
    path.write_text("Open a file, and return its lines.")
    expected = predict_first(project, path)["class"]
    return [path], lambda out: out == expected


def predict_row(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = project / "rows.csv"
    columns = {"age": 50, "sex": 1, "bmi": 25.7, "bp": 93, "s1": 186, "s2": 113, "s3": 48}
    columns |= {"s4": 4, "s5": 4.62, "s6": 91}
    path.write_text(",".join(columns) + "\n" + ",".join(map(str, columns.values())) + "\n")
    return [path], lambda out: out.startswith("progression ")


def continue_text(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    options = ["--prompt", "def main(", "--temperature", "0", "--length", "1"]
    expected, _ = python(project, "predict.py", "runs/a", *options, "--device", "cpu")
    return ["--prompt", "def main("], lambda out: out == expected.strip()


def detect_objects(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = make_image(project)
    python(project, "predict.py", "runs/a", path, "--device", "cpu", "--output", "objects")
    entries = json.loads((project / "objects" / "predictions.json").read_text())

    def is_right(out: str) -> bool:
        lines = out.splitlines()
        for entry, line in zip(entries, lines, strict=False):  # the program prints weaker ones, too
            if not line.startswith(f"{entry['category']} {entry['score']:.2f}"[:-1]):
                return False
        return len(lines) >= max(len(entries), 1)

    return [path], is_right


def forecast_series(project: Path) -> tuple[list[object], Callable[[str], bool]]:
    path = project / "series.csv"
    saved = torch.load(project / "runs" / "a" / "checkpoints" / "best.pt", weights_only=True)
    info = saved["model_config"]["info"]
    rows = [",".join(["hour", *info["channels"]])]
    for hour in range(400):
        rows.append(",".join([str(hour), *map(str, info["mean"].tolist())]))
    path.write_text("\n".join(rows) + "\n")
    row = predict_first(project, path)
    expected = [float(row[name]) for name in info["channels"]]

    def is_right(out: str) -> bool:
        first = [float(number) for number in out.splitlines()[0].strip("[] ").split()]
        return first == pytest.approx(expected, abs=0.02)

    return [path], is_right


TASKS = {
    "image_classification": classify_image,
    "semantic_segmentation": segment_image,
    "object_detection": detect_objects,
    "image_generation": generate_images,
    "text_classification": classify_text,
    "tabular": predict_row,
    "time_series_forecasting": forecast_series,
    "language_modeling": continue_text,
}


def programs(readme: str) -> list[str]:
    """Return the programs that a README shows."""
    return [part.partition("```")[0] for part in readme.split("```python\n")[1:]]


@pytest.mark.parametrize("task", rest_is_full(TASKS))
def test_exported_models_need_no_project(tmp_path, task):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    run(project, *SMALL, "--run-dir", "runs/a")
    inputs, is_right = TASKS[task](project)
    out, _ = python(project, "export.py", "runs/a", *inputs, "--card")
    for name in ("model.safetensors", "model.pt2", "model.onnx"):
        assert name in out
    export = project / "runs" / "a" / "export"
    readme = (export / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\npipeline_tag: ")
    assert json.loads((export / "info.json").read_text(encoding="utf-8"))
    if (project / "image.png").exists():
        (export / "image.png").write_bytes((project / "image.png").read_bytes())
    assert len(programs(readme)) == 2
    for program in programs(readme):
        command = [sys.executable, "-c", program]
        found = subprocess.run(command, cwd=export, capture_output=True, text=True, check=True)
        assert is_right(found.stdout.strip()), found.stdout
