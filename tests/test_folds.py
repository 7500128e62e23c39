"""--fold on data of the user's own, in the tasks that divide them, and on given splits."""

import json
from pathlib import Path

import pytest
from PIL import Image
from rendering import render
from running import PROGRAMS, python, read_records, rest_is_full


def make_images(folder: Path) -> list[str]:
    for number in range(30):
        path = folder / f"class{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return ["--dataset", "image_folder", "--data-dir", str(folder)]


def make_table(folder: Path) -> list[str]:
    """Write a table of ten groups of three rows."""
    folder.mkdir()
    rows = [f"{number},{number * 0.37 % 1:.4f},p{number // 3}\n" for number in range(30)]
    (folder / "all.csv").write_text("x,y,patient\n" + "".join(rows))
    own = ["--dataset", "csv", "--data-dir", str(folder), "--target", "y"]
    return [*own, "--group-column", "patient"]


def make_texts(folder: Path) -> list[str]:
    folder.mkdir()
    rows = [f"text number {number},{'ab'[number % 2]}\n" for number in range(30)]
    (folder / "all.csv").write_text("text,label\n" + "".join(rows))
    return ["--dataset", "csv", "--data-dir", str(folder)]


def make_masks(folder: Path) -> list[str]:
    for number in range(30):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), number % 2).save(folder / kind / f"{number}.png")
    (folder / "classes.txt").write_text("ground\ncup\n")
    return ["--dataset", "mask_folder", "--data-dir", str(folder)]


def make_boxes(folder: Path) -> list[str]:
    content = {"categories": [{"id": 1, "name": "cup"}], "images": [], "annotations": []}
    for number in range(30):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
        image = {"id": number, "file_name": f"{number}.png", "width": 8, "height": 8}
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 4, 4]}
        content["images"].append(image)
        content["annotations"].append(box)
    (folder / "annotations.json").write_text(json.dumps(content))
    return ["--dataset", "coco_json", "--data-dir", str(folder)]


CASES = [  # the sizes of train, val and test in each of five folds
    ("tabular", make_table, [21, 3, 6]),
    ("image_classification", make_images, [21, 3, 6]),
    ("text_classification", make_texts, [22, 2, 6]),
    ("semantic_segmentation", make_masks, [22, 2, 6]),
    ("object_detection", make_boxes, [22, 2, 6]),
]


@pytest.mark.parametrize(("task", "make", "sizes"), rest_is_full(CASES, lane=2))
def test_each_sample_is_tested_in_one_fold(tmp_path, task, make, sizes):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    options = make(tmp_path / "own")
    out, _ = python(project, PROGRAMS / "folds.py", "5", *options)
    assert json.loads(out) == [sizes] * 5


def test_a_fold_is_trained_and_given_splits_have_none(tmp_path):
    project = render({"task": "tabular", "distributed": "none", "logger": "none"}, tmp_path)
    options = make_table(tmp_path / "own")
    run = ["main.py", "--quick", "--quiet", "--device", "cpu", "--run-dir"]
    for number in (1, 2):
        python(project, *run, f"runs/{number}", *options, "--fold", f"{number}/5")
    assert read_records(project / "runs" / "2")[-1]["event"] == "test"
    out, _ = python(project, "compare.py", "runs/*", COLUMNS=200)
    assert len(out.split("\n\n")[0].splitlines()) == 2  # both in a row
    _, err = python(project, *run, "runs/3", *options, "--fold", "6/5", code=2)
    assert "--fold: '6/5' is not i/k" in err
    _, err = python(project, *run, "runs/3", *options, "--fold", "1/10", code=2)
    assert "there are 10 different samples or groups" in err
    for name in ("train", "test"):
        (tmp_path / "own" / f"{name}.csv").write_text((tmp_path / "own" / "all.csv").read_text())
    (tmp_path / "own" / "all.csv").unlink()
    _, err = python(project, *run, "runs/3", *options, "--fold", "1/5", code=2)
    assert err == "error: --fold 1/5: the data have a test split of their own\n"
    assert not (project / "runs" / "3").exists()
