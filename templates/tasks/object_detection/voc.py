"""Box annotations in the XML files of Pascal VOC: those of the data set itself, and own ones."""

import math
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from torchvision.datasets import VOCDetection

from .boxes import Sample, clip_box, complete, make_sample
from .errors import UserError
from .images import SUFFIXES, find_size
from .listing import describe_left_out, list_files
from .splits import find_splits

SIDES = ("xmin", "ymin", "xmax", "ymax")


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
    classes = sorted({name for _, _, _, names in found["train"] for name in names})
    numbers = {name: number for number, name in enumerate(classes)}
    splits: dict[str, list[Sample]] = {}
    for split, entries in found.items():
        splits[split] = []
        for image, size, boxes, names in entries:
            unknown = sorted(set(names) - set(classes))
            if unknown:
                raise UserError(f"{image}: no training image has a box of {unknown[0]!r}")
            labels = [numbers[name] for name in names]
            splits[split].append(make_sample(home, image, size, boxes, labels))
    return complete(home, splits, classes, notes + describe_left_out(left_out))


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


def read_file(
    image: Path, path: Path | None, left_out: Counter[str]
) -> tuple[Path, tuple[float, float], list[list[float]], list[str]]:
    """Return an image, its (width, height), the boxes of its XML file, and the names of these."""
    if path is None:
        return image, find_size(image), [], []
    root = parse(path)
    size = (read_number(root, "size/width"), read_number(root, "size/height"))
    if not all(number > 0 for number in size):  # not every tool fills it in
        size = find_size(image)
    boxes = []
    names = []
    for number, entry in enumerate(root.iter("object"), 1):
        place = f"{path}, object {number}"
        if entry.findtext("difficult") == "1":
            left_out["difficult box"] += 1
            continue
        sides = [read_number(entry, f"bndbox/{side}") for side in SIDES]
        name = entry.findtext("name", "").strip()
        if not name or not all(math.isfinite(side) for side in sides):
            raise UserError(f"{place} lacks a name, or numbers in bndbox: {', '.join(SIDES)}")
        sides[0] -= 1  # the files count pixels from 1
        sides[1] -= 1
        box = clip_box(sides, size, place, left_out)
        if box is not None:
            boxes.append(box)
            names.append(name)
    return image, size, boxes, names


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


def load_voc(data_dir: Path, classes: list[str], year: str, part: str) -> list[Sample]:
    """Return a part of Pascal VOC itself, without objects marked as difficult.

    Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4. Raises UserError if it is not
    in `data_dir` and cannot be downloaded.
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
        path, size, boxes, names = read_file(Path(image), Path(annotation), Counter())
        labels = [classes.index(name) for name in names]
        samples.append(make_sample(data_dir, path, size, boxes, labels))
    return samples
