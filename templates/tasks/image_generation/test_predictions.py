"""Tests of predict.py: its images are those of validation, and depend on the seed alone."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from predicting import run_predict, train

from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.predictions import name_folders, predict
from {{ cookiecutter.project_slug }}.utils import (
    get_loaders,
    get_objective,
    load_model,
    parse_arguments,
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"))


def read(path: Path) -> numpy.ndarray:
    return numpy.asarray(Image.open(path)).astype(int)


def test_predictions_are_those_of_validation(run_dir: Path) -> None:
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    args = parse_arguments(["--device", "cpu"])
    with start(args) as runtime, torch.inference_mode():
        images, labels, noise, times = next(iter(get_loaders(args, runtime)[1]))
        output = get_objective(args, info)(model, (images, labels, noise, times))
        found = predict(args, runtime, model, (noise, labels))
    assert (found - output["predictions"]).abs().max() <= 1e-6
    assert found.std() > 0.1


def test_the_seed_alone_decides(run_dir: Path, tmp_path: Path) -> None:
    runs = {
        "all": ["--batch-size", "64"],
        "others": ["--batch-size", "7", "--number", "3"],
        "some": ["7", "3", "7", "--number", "12"],
        "seed": ["--seed", "1", "--number", "3"],
    }
    for name, words in runs.items():
        assert run_predict(run_dir, *words, "--output", tmp_path / name) == 0
    for label in range(10):
        first, second, third = (read(tmp_path / "all" / f"{label}/000{i}.png") for i in (1, 2, 3))
        assert first.shape == (8, 8)
        assert abs(first - second).max() > 20
        for number, image in enumerate((first, second, third), start=1):
            name = f"{label}/000{number}.png"
            assert abs(image - read(tmp_path / "others" / name)).max() <= 1  # a rounding
            if label in (3, 7):
                assert abs(image - read(tmp_path / "some" / name)).max() <= 1
            assert abs(image - read(tmp_path / "seed" / name)).max() > 20
    counts = {name: len(list((tmp_path / name).rglob("0*.png"))) for name in runs}
    assert counts == {"all": 100, "others": 30, "some": 24, "seed": 30}
    with Image.open(tmp_path / "some" / "sheet.png") as sheet:
        assert sheet.width > sheet.height


def test_other_files_stay_and_a_wrong_class_is_named(run_dir: Path) -> None:
    output = run_dir / "predictions"
    with pytest.raises(UserError, match="no class 'ten': 0, 1, "):
        run_predict(run_dir, "ten")
    assert not output.exists()
    (output / "5").mkdir(parents=True)
    (output / "5" / "0009.png").write_text("mine")
    run_predict(run_dir, "5", "--number", "2")
    assert sorted(path.name for path in (output / "5").iterdir()) == [
        "0001.png",
        "0002.png",
        "0009.png",
    ]
    (run_dir / "data" / "5").mkdir(parents=True)
    (run_dir / "data" / "5" / "0001.png").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        run_predict(run_dir, "5", "--output", run_dir / "data")
    assert (run_dir / "data" / "5" / "0001.png").read_text() == "mine"


def test_every_class_has_a_folder_of_its_own() -> None:
    assert name_folders(["T-shirt/top", "..", "a: b", ""]) == ["T-shirt_top", "_", "a_ b", ""]
    assert name_folders(["a/b", "A:b"]) == ["0_a_b", "1_A_b"]
