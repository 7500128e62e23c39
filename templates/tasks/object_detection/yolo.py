"""Box annotations in text files, as YOLO has them: a line `class x y width height` for each box."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from .boxes import SHARES, Sample, clip_box, complete, make_sample
from .errors import UserError
from .images import SUFFIXES
from .listing import describe, list_files, list_folder
from .paired_folders import find_paired_folders, group_by_stem

NAMES_FILES = {"classes.txt", "obj.names", "classes.names"}  # a name in each line


def find_yolo_splits(home: Path) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the training, validation and test split in a folder, and `info` of them.

    The folders are images/train and labels/train, or train/images and train/labels, and so on, or
    images and labels, which are split 8:1:1. The names of the classes are in data.yaml or
    classes.txt. Raises UserError that names the file and its line.
    """
    classes = find_names(home)
    pairs, notes = find_paired_folders(home, ("labels",))
    left_out: Counter[str] = Counter()
    splits = {}
    for split, (images, labels) in pairs.items():
        splits[split] = find_samples(home, images, labels, classes, left_out)
    return complete(home, splits, classes, notes + describe(left_out))


def find_names(home: Path) -> list[str]:
    """Return the names of the classes, from data.yaml or another .yaml file, or classes.txt."""
    for folder in (home, home / "labels"):
        if not folder.is_dir() and folder != home:
            continue
        for path in list_folder(folder):
            is_yaml = path.suffix.lower() in (".yaml", ".yml")
            if not is_yaml and path.name.lower() not in NAMES_FILES:
                continue
            try:
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, ValueError) as error:
                raise UserError(f"cannot read {path}: {error}") from None
            names = parse_names(text) if is_yaml else text.split("\n")
            names = [name.strip() for name in names if name.strip()]
            if len(set(names)) < len(names):
                raise UserError(f"{path} has a class twice")
            if names:
                return names
    raise UserError(
        f"{home} has no data.yaml with names, nor classes.txt with a class in each line"
    )


def parse_names(text: str) -> list[str]:
    """Return the `names` of a YAML file: a list, or a dictionary by number, on one line or more."""
    match = re.search(r"^names[ \t]*:(.*?)(?=^\w+[ \t]*:|\Z)", text, re.MULTILINE | re.DOTALL)
    if match is None:
        return []
    value = re.sub(r"[ \t]#.*", "", match[1]).strip()
    if value[:1] in ("[", "{"):
        items = re.findall(r"'[^']*'|\"[^\"]*\"|[^,'\"]+", value[1:-1].replace("\n", " "))
        items = [item for item in items if item.strip(" ,") and not item.strip().endswith(":")]
    else:
        items = value.splitlines()
    names = {}
    for place, item in enumerate(items):
        number, name = place, item.strip().removeprefix("- ").strip()
        numbered = re.match(r"(\d+)\s*:\s*(.+)", name)
        if numbered:
            number, name = int(numbered[1]), numbered[2]
        names[number] = name.strip().strip("'\"")
    return [names[number] for number in sorted(names)]


def find_samples(
    home: Path, images: Path, labels: Path, classes: list[str], left_out: Counter[str]
) -> list[Sample]:
    """Return the images of a folder with their boxes; those without a file have none."""
    paths, others = list_files(images, SUFFIXES) if images.is_dir() else ([], Counter())
    left_out.update(others)
    if not paths:
        raise UserError(f"{images} holds no images")
    texts, _ = list_files(labels, {".txt"})
    by_stem = group_by_stem(labels, [path for path in texts if path.name not in NAMES_FILES])
    samples = []
    for path in paths:
        found = by_stem.pop(path.relative_to(images).with_suffix(""), [])
        boxes, numbers = read_boxes(found[0], len(classes), left_out) if found else ([], [])
        samples.append(make_sample(home, path, SHARES, boxes, numbers))
    if by_stem:
        left_out["label file without an image"] += len(by_stem)
    return samples


def read_boxes(
    path: Path, classes: int, left_out: Counter[str]
) -> tuple[list[list[float]], list[int]]:
    """Return the boxes of a file, as shares of the image, and their labels.

    A line with the corners of a polygon stands for the box around it. Raises UserError.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    boxes = []
    labels = []
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}, row {row}"
        try:
            label, *values = map(float, line.split())
        except ValueError:
            raise UserError(f"{place}: {line!r} is not class x y width height") from None
        if label not in range(classes):
            raise UserError(f"{place}: class {label:g} is none of {classes}, which count from 0")
        if len(values) == 4:
            x, y, width, height = values
            sides = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        elif len(values) >= 6 and len(values) % 2 == 0:
            sides = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        else:
            raise UserError(f"{place}: {line!r} is not class x y width height")
        if max(map(abs, values)) > 2:
            raise UserError(f"{place}: {line!r} is not in shares of the image, from 0 to 1")
        box = clip_box(sides, SHARES, place, left_out)
        if box is not None:
            boxes.append(box)
            labels.append(int(label))
    return boxes, labels
