"""Masks: the class of each pixel of an image, as an index or as a color in files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from .errors import UserError
from .images import open_image

IGNORED = 255  # label of pixels that count neither in the loss nor in the metrics
STEPS = {"L;2": 85, "L;4": 17}  # Pillow spreads values of 2 and 4 bits to 255
COLOR = r"(?P<red>\d+)[\s,;]+(?P<green>\d+)[\s,;]+(?P<blue>\d+)"
COLOR_LAST = re.compile(rf"(?P<name>.*\S)[\s,;]+{COLOR}")
COLOR_FIRST = re.compile(rf"{COLOR}[\s,;]+(?P<name>.*\S)")


@dataclass
class MaskReader:
    """Reads masks as labels: of one channel, or in the colors of the classes if these have some."""

    classes: list[str]
    colors: dict[int, int]  # labels by 65536 * red + 256 * green + blue; none: masks are labels
    ignored: int  # the label in the files

    def get_format(self) -> dict[str, Any]:
        """Return what a reader of further masks needs beside the classes, as plain values."""
        return {"colors": self.colors, "ignored": self.ignored}

    def read(self, path: Path) -> Image.Image:
        """Return a mask as labels, turned as its EXIF data say; the ignored ones are 255.

        Raises UserError if it cannot be read, or has a label or a color of no class.
        """
        with open_image(path) as file:
            step = find_step(file)
            mask = ImageOps.exif_transpose(file)
            pixels = numpy.asarray(mask.convert("RGB") if self.colors else mask)
        if self.colors:
            labels = self.find_colors(path, pixels)
        else:
            labels = self.find_labels(path, mask.mode, pixels) // step
            ignored = labels == self.ignored
            wrong = ((labels < 0) | (labels >= len(self.classes))) & ~ignored
            if wrong.any():
                row, column = numpy.argwhere(wrong)[0]
                raise UserError(
                    f"{path}, row {row}, column {column}: label {labels[row, column]} is none of "
                    f"the {len(self.classes)} classes, which count from 0"
                )
            labels = numpy.where(ignored, IGNORED, labels)
        return Image.fromarray(labels.astype(numpy.uint8))

    def find_labels(self, path: Path, mode: str, pixels: numpy.ndarray) -> numpy.ndarray:
        """Return the values of a mask of one channel, or of equal ones: (height, width)."""
        if mode == "F":
            raise UserError(f"{path} has floating-point numbers: a mask holds whole ones")
        if pixels.ndim == 3:
            opaque = pixels[..., -1].min() == 255 if mode in ("LA", "RGBA") else True
            channels = pixels[..., :-1] if mode in ("LA", "RGBA") else pixels
            if not opaque or (channels != channels[..., :1]).any():
                raise UserError(
                    f"{path} has colors (mode {mode}): a mask has one channel of class indices, "
                    "or else a color for each class in classes.txt: name R G B"
                )
            pixels = channels[..., 0]
        return pixels if pixels.dtype == numpy.uint8 else pixels.astype(numpy.int64)

    def find_colors(self, path: Path, pixels: numpy.ndarray) -> numpy.ndarray:
        """Return the labels of colors (height, width, 3). Raises UserError if one has no class."""
        red, green, blue = numpy.moveaxis(pixels.astype(numpy.int64), 2, 0)
        codes = 65536 * red + 256 * green + blue
        known = numpy.array(sorted(self.colors))
        labels = numpy.array([self.colors[code] for code in known.tolist()])
        places = numpy.searchsorted(known, codes).clip(max=len(known) - 1)
        unknown, counts = numpy.unique(codes[known[places] != codes], return_counts=True)
        if len(unknown):
            code = int(unknown[counts.argmax()])
            color = f"{code >> 16} {code >> 8 & 255} {code & 255}"
            raise UserError(
                f"{path}: {counts.max():,} pixels have the color {color}, which is not in "
                f"classes.txt; so have {counts.sum():,} pixels in {len(unknown)} color(s)"
            )
        return labels[places]


def find_step(file: Image.Image) -> int:
    """Return the distance that Pillow puts between the values of a gray image of few bits."""
    for tile in getattr(file, "tile", []):
        arguments = tile[3]
        raw_mode = arguments if isinstance(arguments, str) else arguments[0]
        return STEPS.get(str(raw_mode)[:3], 1)
    return 1


def pad_to_square(
    image: Tensor, mask: Tensor, size: int, color: list[float]
) -> tuple[Tensor, Tensor]:
    """Pad an image and its mask at the right and at the bottom: in a color, and ignored."""
    height, width = mask.shape
    border = [0, 0, max(size - width, 0), max(size - height, 0)]
    return v2.functional.pad(image, border, color), v2.functional.pad(mask, border, IGNORED)


def read_classes(path: Path, ignored: int) -> MaskReader:
    """Return the reader for a file with the names of the classes, one in each line, from label 0.

    A line may also have the color of the class, as `name R G B` or `R G B name`; the name
    `ignored` stands for pixels that do not count. Raises UserError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the names of the classes in {path}: {error}") from None
    classes: list[str] = []
    colors: dict[int, int] = {}
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, code = split_color(line.strip())
        if not colors and code is None and row != len(classes) + 1:
            raise UserError(f"{path}, row {row - 1} is empty: label {row - 2} would have no name")
        if code is not None:
            if code in colors:
                raise UserError(f"{path}: the color of {name!r} is there twice")
            colors[code] = IGNORED if name == "ignored" else len(classes)
            if name == "ignored":
                continue
        if name in classes:
            raise UserError(f"{path}: the class {name!r} is there twice")
        if colors and code is None:
            raise UserError(f"{path}: {name!r} has no color from 0 0 0 to 255 255 255, others have")
        classes.append(name)
    if colors and len(set(colors.values()) - {IGNORED}) < len(classes):
        raise UserError(f"{path}: {classes[0]!r} has no color, and other classes have one")
    if not 2 <= len(classes) <= IGNORED:
        raise UserError(f"{path} has {len(classes)} class(es): 2 to {IGNORED} are needed")
    return MaskReader(classes, colors, ignored)


def split_color(line: str) -> tuple[str, int | None]:
    """Return the name in a line, and its color as 65536 * red + 256 * green + blue, or None."""
    match = COLOR_LAST.fullmatch(line) or COLOR_FIRST.fullmatch(line)
    if match is None:
        return line, None
    numbers = [int(match[group]) for group in ("red", "green", "blue")]
    if max(numbers) > 255:
        return line, None
    red, green, blue = numbers
    return match["name"], 65536 * red + 256 * green + blue
