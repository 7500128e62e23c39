"""Images with boxes: their samples, and what is the same for all formats of annotations."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .errors import UserError
from .identity import hash_names
from .images import read_image
from .splits import complete, describe_absent, divide

SHARES = (1.0, 1.0)  # the size of an image whose boxes are shares of it
FREQUENT = 10  # images of a class from which on it is divided over the splits for itself


@dataclass
class Sample:
    """An image file and its boxes."""

    folder: Path
    name: str  # relative to the folder
    size: tuple[float, float]  # width and height that the boxes are measured in
    boxes: Tensor  # (n, 4): x1, y1, x2, y2
    labels: Tensor  # (n,)

    def read(self) -> tuple[Image.Image, Tensor]:
        """Return the image, and the boxes in its pixels.

        Raises UserError if the image has another size than its annotations say.
        """
        path = self.folder / self.name
        image = read_image(path)
        if self.size == SHARES:
            return image, self.boxes * torch.tensor([*image.size, *image.size])
        width, height = self.size
        if image.size == self.size:
            return image, self.boxes
        text = f"{path} has {image.width} x {image.height} pixels, and {width:g} x {height:g}"
        text += " in its annotations"
        if image.size == (height, width):
            text += ": these are of the image before it is turned as its EXIF data say"
        raise UserError(text)


def make_sample(
    folder: Path,
    path: Path,
    size: tuple[float, float],
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
) -> Sample:
    """Return the sample of an image, which may have no box."""
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
    return Sample(folder, name, size, torch.tensor(boxes).view(-1, 4), torch.tensor(labels).long())


def clip_box(
    box: Sequence[float], size: tuple[float, float], place: str, left_out: Counter[str]
) -> list[float] | None:
    """Return a box x1, y1, x2, y2 cut off at the borders of its image, None if it has no area.

    Both are counted. Raises UserError if it is no box, or more than half of it is outside.
    """
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)) or x2 < x1 or y2 < y1:
        raise UserError(f"{place}: the box from {x1:g}, {y1:g} to {x2:g}, {y2:g} is no box")
    area = (x2 - x1) * (y2 - y1)
    if area == 0:
        left_out["box without an area"] += 1
        return None
    width, height = size
    inside = [max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)]
    share = max(inside[2] - inside[0], 0) * max(inside[3] - inside[1], 0) / area
    if share < 0.5:
        raise UserError(
            f"{place}: the box from {x1:g}, {y1:g} to {x2:g}, {y2:g} is not inside of its image, "
            f"{width:g} x {height:g}"
        )
    if share < 0.98:  # more than rounding
        left_out["part of a box outside of its image"] += 1
    return inside


def arrange_splits(
    folder: Path, splits: dict[str, list[Sample]], classes: list[str], notes: list[str]
) -> tuple[list[list[Sample]], dict[str, Any]]:
    """Return the training, validation and test split, and `info` of them.

    If only train is there, it is split 8:1:1; else a tenth of it validates if val is missing, and
    val is tested if test is missing. Raises UserError if one has no boxes.
    """
    chosen = complete(splits, divide_samples)
    counts = {}
    for split, samples in zip(("train", "val", "test"), chosen, strict=True):
        labels = [sample.labels for sample in samples] or [torch.zeros(0, dtype=torch.int64)]
        numbers = torch.cat(labels).bincount(minlength=len(classes)).tolist()
        if sum(numbers) == 0:
            raise UserError(f"{folder}: the {split} split, {len(samples)} images, has no boxes")
        counts[split] = dict(zip(classes, numbers, strict=True))
    notes = [*notes, *describe_absent(counts)]
    found = [len(sample.labels) for samples in splits.values() for sample in samples]
    if 0 in found:
        notes.append(f"without a box: {found.count(0):,} of {len(found):,} images")
    return chosen, {"classes": classes, "notes": notes, "class_counts": counts}


def divide_samples(samples: list[Sample], val: float, test: float) -> list[list[Sample]]:
    """Return three parts with the same share of each class; `val` and `test` are shares."""
    keys = hash_names(sample.name for sample in samples)
    parts = []
    for indices in divide(keys, val, test, strata=get_strata(samples)):
        parts.append([samples[index] for index in indices.tolist()])
    return parts


def get_strata(samples: list[Sample]) -> list[str]:
    """Return what is divided alike: images by the rarest class of their boxes, and empty ones."""
    found = [set(sample.labels.tolist()) for sample in samples]
    images: Counter[int] = Counter()
    for labels in found:
        images.update(labels)
    strata = []
    for labels in found:
        frequent = [label for label in labels if images[label] >= FREQUENT]
        rarest = min(frequent, key=lambda label: (images[label], label), default=-1)
        strata.append(str(rarest) if labels else "empty")
    return strata
