"""Files of box annotations: COCO's JSON and Pascal VOC's XML."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor

from .errors import UserError
from .images import find_size

Sample = tuple[Path, Tensor, Tensor]  # the file of an image, its boxes (n, 4) and labels (n,)
Entry = dict[str, Any]


def make_sample(path: Path, boxes: list[list[float]], labels: list[int]) -> Sample:
    """Return the sample of an image, which may have no box."""
    return path, torch.tensor(boxes).view(-1, 4), torch.tensor(labels).long()


class CocoFile:
    """A COCO JSON file (https://cocodataset.org/#format-data) without the boxes of crowds.

    The images are in one of `folders`. A file that is not `own` is COCO's: it has boxes without an
    area, which are left out, and so many images that their headers are not read to check the boxes.
    Raises UserError, which names the entry that is wrong.
    """

    def __init__(self, path: Path, *folders: Path, own: bool = True):
        self.path = path
        self.folders = folders
        self.own = own
        self.content: dict[str, Any] = {}
        self.classes: list[str] = []
        self.class_indices: dict[Any, int] = {}  # of the categories, by their id
        self.images: dict[Any, tuple[Path, float, float]] = {}  # path, width, height by id
        self.boxes: dict[Any, list[list[float]]] = {}  # by the id of the image
        self.labels: dict[Any, list[int]] = {}
        self.load()
        self.add_each("categories", self.add_category)
        self.add_each("images", self.add_image)
        self.add_each("annotations", self.add_annotation)

    @property
    def samples(self) -> list[Sample]:
        """The samples of all images."""
        samples = []
        for key, (path, _, _) in self.images.items():
            samples.append(make_sample(path, self.boxes[key], self.labels[key]))
        return samples

    def load(self) -> None:
        """Read the file."""
        try:
            self.content = json.loads(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from None
        except ValueError as error:
            raise UserError(f"{self.path} is not a JSON file: {error}") from None

    def add_each(self, key: str, add: Callable[[Entry, str], None]) -> None:
        """Call `add` with each entry of a list of the file, and the name of the entry."""
        name = key
        try:
            for index, entry in enumerate(self.content[key]):
                name = f"{key}[{index}]"
                add(entry, name)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__} {error}"
            raise UserError(f"{self.path}, {name}: not in COCO's format: {reason}") from None

    def add_category(self, entry: Entry, name: str) -> None:
        self.class_indices[entry["id"]] = len(self.classes)
        self.classes.append(entry["name"])

    def add_image(self, entry: Entry, name: str) -> None:
        paths = [folder / entry["file_name"] for folder in self.folders]
        found = [path for path in paths if path.exists()]
        if not found:
            raise UserError(f"{self.path}, {name}: there is no image {paths[0]}")
        size = find_size(found[0]) if self.own else (entry["width"], entry["height"])
        self.images[entry["id"]] = (found[0], *size)
        self.boxes[entry["id"]] = []
        self.labels[entry["id"]] = []

    def add_annotation(self, entry: Entry, name: str) -> None:
        if entry.get("iscrowd"):
            return
        for key, known in (("image_id", self.images), ("category_id", self.class_indices)):
            if entry[key] not in known:
                kind = key.removesuffix("_id")
                raise UserError(f"{self.path}, {name}: no {kind} has the id {entry[key]!r}")
        path, width, height = self.images[entry["image_id"]]
        left, top, box_width, box_height = (float(number) for number in entry["bbox"])
        right = left + box_width
        bottom = top + box_height
        is_inside = -1 <= left < right <= width + 1 and -1 <= top < bottom <= height + 1  # rounded
        if self.own and not is_inside:
            place = f"inside of {path}, {width} x {height}"
            raise UserError(f"{self.path}, {name}: the box {entry['bbox']} is not {place}")
        box = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
        if box[0] < box[2] and box[1] < box[3]:
            self.boxes[entry["image_id"]].append(box)
            self.labels[entry["image_id"]].append(self.class_indices[entry["category_id"]])


def read_voc_objects(path: Path, classes: list[str]) -> tuple[list[list[float]], list[int]]:
    """Return the boxes and labels of an XML file of Pascal VOC.

    Objects that are marked as difficult are left out (Everingham et al. 2010,
    https://doi.org/10.1007/s11263-009-0275-4).
    """
    boxes = []
    labels = []
    for entry in ElementTree.parse(path).iter("object"):
        if entry.findtext("difficult") == "1":
            continue
        sides = []
        for side in ("xmin", "ymin", "xmax", "ymax"):
            sides.append(float(entry.findtext(f"bndbox/{side}", "")))
        boxes.append([sides[0] - 1, sides[1] - 1, *sides[2:]])  # the files count pixels from 1
        labels.append(classes.index(entry.findtext("name", "")))
    return boxes, labels
