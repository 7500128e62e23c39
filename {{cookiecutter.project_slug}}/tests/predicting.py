"""Short runs and their predictions, for the tests of predict.py."""

import csv
from pathlib import Path

import main
import predict
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.utils import parse_arguments


def train(folder: Path, *options: str) -> Path:
    """Train a small model; return its run directory."""
    run_dir = folder / "run"
    own = ["--device", "cpu", "--quick", "--quiet", "--run-dir", str(run_dir)]
    args = parse_arguments([*own, *options])
    with start(args) as runtime:
        main.main(args, runtime)
    return run_dir


def run_predict(run: Path, *words: Path | str) -> int:
    """Run predict.py; return how many inputs could not be read."""
    args = predict.parse_arguments([str(run), *map(str, words), "--device", "cpu"])
    with start(args) as runtime:
        return predict.main(args, runtime)


def predict_table(run: Path, *inputs: Path | str) -> tuple[list[dict[str, str]], int]:
    """Run predict.py; return the rows of its table, and how many inputs could not be read."""
    failed = run_predict(run, *inputs)
    with open(run / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), failed
