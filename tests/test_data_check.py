"""`--check-data`: all samples are read before a training, and what is wrong is listed."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from rendering import render
from running import run

OPTIONS = ["--check-data", "--dataset", "image_folder", "--image-size", "16", "--workers", "0"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project without a backend and without a tracker."""
    answers = {"distributed": "none", "logger": "none"}
    return render(answers, tmp_path_factory.mktemp("alone"))


def make_images(folder: Path) -> Path:
    """Make two splits of two classes, whose images all differ."""
    for split, number in (("train", 6), ("val", 4)):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                color = (40 * index, 100 if name == "cat" else 0, 255 if split == "val" else 0)
                Image.new("RGB", (20, 20), color).save(folder / split / name / f"{index}.png")
    return folder


def test_good_data_are_described(alone, tmp_path):
    out, err = run(alone, *OPTIONS, "--data-dir", make_images(tmp_path))
    assert err == ""
    assert "train       12 samples: cat 50.0%, dog 50.0%" in out
    assert "there is no test split: the validation split is tested, too" in out
    assert "in two splits" not in out
    path = alone / "runs" / "image_folder-samples.png"
    with Image.open(path) as figure:
        assert figure.size > (500, 500)
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # it is no run


def test_all_problems_are_listed(alone, tmp_path):
    data = make_images(tmp_path)
    (data / "train" / "cat" / "0.png").write_bytes(b"no image")
    (data / "val" / "dog" / "1.png").write_bytes((data / "val" / "dog" / "2.png").read_bytes()[:40])
    shutil.copy(data / "train" / "dog" / "3.png", data / "val" / "dog" / "copy.png")
    out, err = run(alone, *OPTIONS, "--data-dir", data, code=2)
    assert err == "error: 2 samples cannot be used: mend them, or take them away\n"
    lines = out.splitlines()
    problems = [line for line in lines if line.startswith("problem")]
    assert len(problems) == 2 and "train/cat/0.png" in problems[0]
    assert any("val/dog/copy.png is train sample train/dog/3.png, too" in line for line in lines)


def test_all_masks_are_read(tmp_path):
    """A training would read some of them when it starts, and the others when it comes to them."""
    project = render(
        {"task": "semantic_segmentation", "distributed": "none", "logger": "none"}, tmp_path
    )
    data = tmp_path / "data"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
        for number in range(130):
            Image.new("L", (9, 9), number % 2).save(data / kind / f"{number}.png")
    (data / "classes.txt").write_text("ground\nobject\ntree\n")
    Image.new("L", (9, 9), 7).save(data / "masks" / "43.png")
    options = ["--dataset", "mask_folder", "--data-dir", data, "--image-size", "16"]
    out, err = run(project, "--check-data", *options, "--workers", "0", code=2)
    assert err == "error: 1 samples cannot be used: mend them, or take them away\n"
    problem = next(line for line in out.splitlines() if line.startswith("problem"))
    assert "43.png, row 0, column 0: label 7 is none of the 3 classes" in problem
    assert "note        none of 100 masks has the class tree" in out
    assert ", none of tree" in out


def test_a_table_without_categories(tmp_path):
    """One of its tensors has rows and no column."""
    project = render({"task": "tabular", "distributed": "none", "logger": "none"}, tmp_path)
    out, err = run(project, "--check-data", "--dataset", "breast_cancer")
    assert err == "" and "train       343 samples: benign" in out
