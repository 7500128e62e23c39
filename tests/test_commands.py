"""The commands in a project's README, which are run as they are printed.

So that they take seconds, `--quick` is on unless a command says otherwise.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch
from PIL import Image
from rendering import render
from running import do

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The program that starts a command that is run here.
OURS = re.compile(r"(echo .*\| )?python \w+\.py")
# Weights are downloaded.
DOWNLOAD = " --pretrained"
# How chapters begin that all tasks share, and those that change the project.
SHARED = ("Compare runs", "Improve", "Stop and resume")
MODIFY = ("How to modify", "A pretrained encoder of Hugging Face")


def make_image(path: Path, number: int = 0) -> None:
    """Write an image with a square, whose place and color depend on the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (48, 40), (number * 37 % 256, 90, 20))
    left = 2 + number % 20
    image.paste((240, 240, number * 91 % 256), (left, 5, left + 20, 25))
    image.save(path)


def make_photos(folder: Path) -> None:
    """Write `photo.jpg` and the folder `photos`."""
    make_image(folder / "photo.jpg")
    for number in range(2):
        make_image(folder / "photos" / f"{number}.png", number)


def make_classes(folder: Path) -> None:
    """Write images in a folder for each class, DIR, and some photos."""
    make_photos(folder)
    for number in range(30):
        make_image(folder / "DIR" / f"class{number % 3}" / f"{number}.png", number)


def make_masks(folder: Path) -> None:
    """Write images and masks of all splits, and masks of the photos beside them."""
    make_photos(folder)
    (folder / "DIR" / "classes.txt").parent.mkdir()
    (folder / "DIR" / "classes.txt").write_text("ground\ncup\n")
    masks = [folder / "DIR" / "masks" / f"{number}.png" for number in range(2)]
    for split in ("train", "val", "test"):
        for number in range(4):
            make_image(folder / "DIR" / split / "images" / f"{number}.png", number)
            masks.append(folder / "DIR" / split / "masks" / f"{number}.png")
    for path in masks:
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (48, 40))
        mask.paste(1, (10, 5, 30, 25))
        mask.save(path)


def make_boxes(folder: Path) -> None:
    """Write images and their boxes in COCO's format: DIR/val and DIR/val.json, and so on."""
    make_photos(folder)
    for split in ("train", "val", "test"):
        names = enumerate(("ellipse", "rectangle", "triangle"))
        categories = [{"id": number, "name": name} for number, name in names]
        content = {"categories": categories, "images": [], "annotations": []}
        for number in range(4):
            name = f"{number}.png"
            make_image(folder / "DIR" / split / name, number)
            image = {"id": number, "file_name": name, "width": 48, "height": 40}
            box = {"id": number, "image_id": number, "category_id": number % 3}
            content["images"].append(image)
            content["annotations"].append(box | {"bbox": [2 + number, 5, 20, 20]})
        (folder / "DIR" / f"{split}.json").write_text(json.dumps(content))


def make_texts(folder: Path) -> None:
    """Write a table of texts, a folder of them, and new ones."""
    rows = []
    for number in range(40):
        label = ("pos", "neg")[number % 2]
        rows.append({"text": f"text number {number}", "review": "a word", "label": label})
        for split in ("train", "test"):
            path = folder / "aclImdb" / split / label / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{label} in {split} number {number}")
    (folder / "DIR").mkdir()
    pandas.DataFrame(rows).to_csv(folder / "DIR" / "all.csv", index=False)
    pandas.DataFrame(rows[:5]).to_csv(folder / "new.csv", index=False)
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("It broke.")


def make_sources(folder: Path) -> None:
    """Write texts to learn, and a new one."""
    for path in (folder / "DIR" / "all.txt", folder / "new.py"):
        path.parent.mkdir(exist_ok=True)
        lines = [f"def main(number={number}):\n    return {number}\n" for number in range(400)]
        path.write_text("".join(lines))


def make_tables(folder: Path) -> None:
    """Write tables, and new rows of the one that is predicted."""
    random = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)).tolist()
    diamonds, penguins = [], []
    for number, (carat, mass) in enumerate(random):
        diamonds.append({"carat": carat, "cut": "abc"[number % 3], "price": 100 * carat + mass})
        penguin = {"mass": mass, "year": 2007 + number % 3, "note": "x"}
        penguins.append(penguin | {"species": mass > 0.5})
    table = pandas.DataFrame(diamonds)
    table.to_csv(folder / "diamonds.csv", index=False)
    pandas.DataFrame(penguins).to_csv(folder / "penguins.csv", index=False)
    for name in ("new.csv", "new/a.csv", "more/b.csv.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        table.to_csv(folder / name, index=False)


def make_series(folder: Path) -> None:
    """Write a series, and one of several shops."""
    days = pandas.date_range("2024-01-01", periods=500).strftime("%Y-%m-%d")
    random = torch.rand(500, 2, generator=torch.Generator().manual_seed(0))
    table = pandas.DataFrame({"date": days, "sales": random[:, 0], "price": random[:, 1]})
    table[["date", "sales"]].to_csv(folder / "sales.csv", index=False)
    shops = [table.assign(shop=shop, holiday=0.0) for shop in ("north", "south")]
    pandas.concat(shops).to_csv(folder / "shops.csv", index=False)


# The task, the data that its commands name, and the options of the run that they use.
CASES: list[tuple[str, Callable[[Path], None] | None, str]] = [
    ("tabular", make_tables, "--dataset csv --data-dir diamonds.csv --target price"),
    ("image_classification", make_classes, ""),
    ("semantic_segmentation", make_masks, "--dataset mask_folder --data-dir DIR --image-size 40"),
    ("object_detection", make_boxes, ""),
    ("image_generation", make_classes, ""),
    ("text_classification", make_texts, "--dataset csv --data-dir DIR"),
    ("language_modeling", make_sources, ""),
    (
        "time_series_forecasting",
        make_series,
        "--dataset csv --data-dir sales.csv --context 60 --horizon 14",
    ),
]


def read_commands(readme: str) -> dict[str, list[str]]:
    """Return the commands in the chapters of a README, without comments and downloads."""
    chapters: dict[str, list[str]] = {}
    for chapter in readme.split("\n## ")[1:]:
        title = chapter.partition("\n")[0]
        commands = []
        for block in BLOCK.findall(chapter):
            for line in block.replace("\\\n", " ").splitlines():
                if OURS.match(line) and "RUN ..." not in line:
                    commands.append(line.partition(" #")[0].strip().replace(DOWNLOAD, ""))
        chapters[title] = commands
    return chapters


@pytest.mark.full
@pytest.mark.parametrize(("task", "make", "options"), CASES)
def test_commands_are_run_as_printed(tmp_path, task, make, options):
    """The story of the README in its order; what all tasks share, in one of them alone.

    The chapters that modify the project have tests of their own: their commands need the edits.
    """
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    utils = project / "my_project" / "utils.py"
    source = utils.read_text(encoding="utf-8")
    quick = 'add("--quick", action=switch, default='
    assert source.count(f"{quick}False") == 1
    utils.write_text(source.replace(f"{quick}False", f"{quick}True"), encoding="utf-8")
    make(project)
    chapters = read_commands((project / "README.md").read_text(encoding="utf-8"))
    shared = [title for title in chapters if title.startswith(SHARED)]
    assert chapters["Predict"] and len(shared) == 3
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "XDG_CACHE_HOME": tmp_path / "cache", "COLUMNS": 200}
    do(f"python main.py --device cpu --run-dir runs/mine {options}", project, **variables)
    for title, commands in chapters.items():
        if title.startswith(MODIFY) or (title in shared and task != CASES[0][0]):
            continue
        for command in commands:
            do(command, project, **variables)
