"""Box annotations in text files, as YOLO has them: a line `class x y width height` for each box."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from .boxes import SHARES, Sample, arrange_splits, clip_box, make_sample
from .errors import UserError
from .images import SUFFIXES
from .listing import describe_left_out, list_files, list_folder
from .paired_folders import find_paired_folders, get_stem, group_by_stem

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
    return arrange_splits(home, splits, classes, notes + describe_left_out(left_out))


def find_names(home: Path) -> list[str]:
    """Return the names of the classes, from data.yaml or another .yaml file, or classes.txt.

    Raises UserError if there are none, or if two files do not agree.
    """
    for folder in (home, home / "labels"):
        if not folder.is_dir() and folder != home:
            continue
        found: dict[Path, list[str]] = {}
        for path in list_folder(folder):
            names = read_names(path)
            if names:
                found[path] = names
        for path, names in found.items():
            first = next(iter(found))
            if names != found[first]:
                raise UserError(f"{path} and {first} name other classes: take one of them away")
        if found:
            return next(iter(found.values()))
    raise UserError(
        f"{home} has no data.yaml with names, nor classes.txt with a class in each line"
    )


def read_names(path: Path) -> list[str]:
    """Return the names of the classes in a file; none if it is no file of names.

    Raises UserError if it cannot be read, or if it is not clear which number a class has.
    """
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    if not is_yaml and path.name.lower() not in NAMES_FILES:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = parse_names(text) if is_yaml else text.rstrip().splitlines()
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    names = [name.strip() for name in names]
    if "" in names:
        raise UserError(f"{path}: class {names.index('')} has no name; the first one is class 0")
    if len(set(names)) < len(names):
        raise UserError(f"{path} has a class twice")
    return names


def parse_names(text: str) -> list[str]:
    """Return the `names` of a YAML file: a list, or a dictionary by number; none without them.

    Raises ValueError if they are anything else, or if a number is missing between others.
    """
    content = yaml.load(text, Loader=yaml.BaseLoader)  # texts alone: a class may be called "no"
    names = content.get("names", []) if isinstance(content, dict) else []
    if isinstance(names, dict):
        for number in map(str, range(len(names))):
            if number not in names:
                raise ValueError(f"names lack class {number}: they count from 0, without a gap")
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names are not a list of texts, nor a dictionary by number")
    return names


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
    by_image: dict[str, Path] = {}
    samples = []
    for path in paths:
        stem = get_stem(images, path)
        if stem in by_image:
            raise UserError(
                f"{path} and {by_image[stem]} have the same name, and so the same labels"
            )
        by_image[stem] = path
        found = by_stem.pop(stem, [])
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
