"""Box annotations in the XML files of Pascal VOC: those of the data set itself, and own ones."""

import math
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from torchvision.datasets import VOCDetection

from .boxes import SHARES, Sample, arrange_splits, clip_box, make_sample
from .errors import UserError
from .images import SUFFIXES, find_size
from .listing import describe_left_out, list_files
from .splits import find_splits

SIDES = ("xmin", "ymin", "xmax", "ymax")
FROM_1 = (-1.0, 0.0)  # to add to xmin and ymin, and to xmax and ymax, of pixels that count from 1


class Object(NamedTuple):
    """An object in an XML file."""

    place: str  # for messages
    name: str
    sides: list[float]  # as they are there


class Annotation(NamedTuple):
    """An image, and what its XML file says."""

    path: Path
    size: tuple[float, float]  # width and height
    objects: list[Object]


def find_voc_splits(home: Path) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the training, validation and test split in a folder, and `info` of them.

    The images and their XML files are in JPEGImages and Annotations, and in the splits that the
    lists in ImageSets/Main name; or in folders train, val and test; or in any folders, which are
    split 8:1:1. The classes are the names of the objects in train. Raises UserError that names the
    file.
    """
    left_out: Counter[str] = Counter()
    folders, notes = find_splits(home)
    images = {}
    for split, (folder,) in (folders or {"train": [home]}).items():
        images[split] = find_images(folder, left_out)
    lists = home / "ImageSets" / "Main"
    if not folders and lists.is_dir():
        images, notes = divide_by_lists(lists, images["train"])
    found = {}
    for split, pairs in images.items():
        found[split] = [read_file(image, path, left_out) for image, path in pairs]
    names: set[str] = set()
    for entry in found["train"]:
        names.update(thing.name for thing in entry.objects)
    classes = sorted(names)
    shift = find_shift(chain(*found.values()))
    if shift != FROM_1:
        notes.append("xmin, ymin, xmax and ymax count from 0, as some are less than 1")
    splits: dict[str, list[Sample]] = {}
    for split, entries in found.items():
        splits[split] = []
        for entry in entries:
            splits[split].append(get_sample(home, entry, classes, shift, left_out))
    return arrange_splits(home, splits, classes, notes + describe_left_out(left_out))


def find_shift(entries: Iterable[Annotation]) -> tuple[float, float]:
    """Return what to add to xmin and ymin, and to xmax and ymax, to have the borders of boxes.

    Pascal VOC counts pixels from 1, and the last one belongs to the box. Numbers below 1 count from
    0: mostly borders, but pixels if boxes end one before the border of the image, and none at it.
    """
    smallest = math.inf
    nearest = math.inf  # to the right or lower border of its image
    for entry in entries:
        for thing in entry.objects:
            x1, y1, x2, y2 = thing.sides
            if x1 < x2 and y1 < y2:  # others are of no use
                smallest = min(smallest, x1, y1)
                nearest = min(nearest, entry.size[0] - x2, entry.size[1] - y2)
    if smallest >= 1:
        return FROM_1
    return 0.0, 1.0 if nearest == 1 else 0.0


def get_sample(
    home: Path,
    entry: Annotation,
    classes: list[str],
    shift: tuple[float, float],
    left_out: Counter[str],
) -> Sample:
    """Return the sample of an image. Raises UserError if the classes lack one of its objects."""
    boxes = []
    labels = []
    for place, name, (x1, y1, x2, y2) in entry.objects:
        if name not in classes:
            raise UserError(f"{entry.path}: no training image has a box of {name!r}")
        sides = [x1 + shift[0], y1 + shift[0], x2 + shift[1], y2 + shift[1]]
        box = clip_box(sides, entry.size, place, left_out)
        if box is not None:
            boxes.append(box)
            labels.append(classes.index(name))
    return make_sample(home, entry.path, entry.size, boxes, labels)


def find_images(folder: Path, left_out: Counter[str]) -> list[tuple[Path, Path | None]]:
    """Return each image below a folder, and its XML file, which has the same name, or None."""
    paths, others = list_files(folder, SUFFIXES | {".xml", ".txt"})
    left_out.update(others)
    files: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() == ".xml" and files.setdefault(path.stem, path) != path:
            raise UserError(f"{path} and {files[path.stem]} have the same name")
    pairs = []
    images: dict[str, Path] = {}  # with an XML file, by their name
    for path in paths:
        of_masks = path.parent.name.startswith("Segmentation")
        if path.suffix.lower() in SUFFIXES and not of_masks:
            pairs.append((path, files.get(path.stem)))
            if path.stem in files and images.setdefault(path.stem, path) != path:
                raise UserError(
                    f"{path} and {images[path.stem]} have the same name, and so the same boxes"
                )
    if not pairs or not files:
        raise UserError(f"{folder} holds {len(pairs)} images and {len(files)} XML files")
    unused = len(files) - sum(file is not None for _, file in pairs)
    if unused:
        left_out["XML file without an image"] += unused
    return pairs


def divide_by_lists(
    folder: Path, pairs: list[tuple[Path, Path | None]]
) -> tuple[dict[str, list[tuple[Path, Path | None]]], list[str]]:
    """Return the images that each list in a folder names, and notes; undivided if none does."""
    lists, notes = find_splits(folder, {".txt"})
    if not lists:
        return {"train": pairs}, notes
    by_stem = {image.stem: (image, file) for image, file in pairs}
    splits: dict[str, list[tuple[Path, Path | None]]] = {}
    for split, (path,) in lists.items():
        splits[split] = []
        for row, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            if line.split()[0] not in by_stem:
                raise UserError(f"{path}, row {row}: there is no image {line.split()[0]!r}")
            splits[split].append(by_stem[line.split()[0]])
    return splits, notes


def read_file(image: Path, path: Path | None, left_out: Counter[str]) -> Annotation:
    """Return what the XML file of an image says, if there is one; difficult objects are left out.

    Raises UserError that names the object if it has no name, or if a side of its box is no number.
    """
    if path is None:
        return Annotation(image, SHARES, [])
    root = parse(path)
    size = (read_number(root, "size/width"), read_number(root, "size/height"))
    if not all(number > 0 for number in size):  # not every tool fills it in
        size = find_size(image)
    objects = []
    for number, element in enumerate(root.iter("object"), 1):
        place = f"{path}, object {number}"
        if element.findtext("difficult") == "1":
            left_out["difficult box"] += 1
            continue
        sides = [read_number(element, f"bndbox/{side}") for side in SIDES]
        name = element.findtext("name", "").strip()
        if not name or not all(math.isfinite(side) for side in sides):
            raise UserError(f"{place} lacks a name, or numbers in bndbox: {', '.join(SIDES)}")
        objects.append(Object(place, name, sides))
    return Annotation(image, size, objects)


def parse(path: Path) -> ElementTree.Element:
    """Return the content of an XML file. Raises UserError if it is none."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def read_number(element: ElementTree.Element, name: str) -> float:
    """Return the number in a part of an element, NaN if there is none."""
    try:
        return float(element.findtext(name, ""))
    except ValueError:
        return math.nan


def load_voc(data_dir: Path, classes: list[str]) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the splits of Pascal VOC itself, and `info` of them.

    VOC2007's val images validate, its test images test; VOC2007's train and VOC2012's trainval
    images are to train. Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4.
    """
    left_out: Counter[str] = Counter()
    load = partial(load_part, data_dir, classes, left_out)
    splits = {
        "train": [*load("2012", "trainval"), *load("2007", "train")],
        "val": load("2007", "val"),
        "test": load("2007", "test"),
    }
    return arrange_splits(data_dir, splits, classes, describe_left_out(left_out))


def load_part(
    data_dir: Path, classes: list[str], left_out: Counter[str], year: str, part: str
) -> list[Sample]:
    """Return a part of Pascal VOC, such as 2007 val.

    Raises UserError if it is not in `data_dir` and cannot be downloaded.
    """
    folder = data_dir / "VOCdevkit" / f"VOC{year}"
    present = (folder / "ImageSets" / "Main" / f"{part}.txt").exists()
    try:
        data = VOCDetection(data_dir, year, part, download=not present)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--dataset voc is not in {data_dir} and cannot be downloaded: {error}"
        ) from None
    samples = []
    for image, annotation in zip(data.images, data.annotations, strict=True):
        entry = read_file(Path(image), Path(annotation), left_out)
        samples.append(get_sample(data_dir, entry, classes, FROM_1, left_out))
    return samples
