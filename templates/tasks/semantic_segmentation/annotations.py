"""Folders of own images and masks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2.functional import pil_to_tensor

from .errors import UserError
from .images import read_image
from .splits import split_list

Pair = tuple[Path, Path]  # the files of an image and of its mask


class MaskFiles:
    """Pairs of an image and its mask, read when they are needed."""

    def __init__(self, pairs: list[Pair]):
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Image.Image, Image.Image]:
        image, mask = self.pairs[index]
        return read_image(image), read_mask(mask)


def find_mask_splits(folder: Path, ignored: int) -> tuple[list[MaskFiles], list[str]]:
    """Return the training, validation and test split in a folder, and the names of the classes.

    The splits are in train/, val/ and test/, or `folder` itself is split 8:1:1. Raises UserError
    if something is wrong.
    """
    classes = read_classes(folder / "classes.txt")
    names = ("train", "val", "test")
    if any((folder / name).is_dir() for name in names):
        splits = [find_pairs(folder / name, classes, ignored) for name in names]
    else:
        splits = split_list(find_pairs(folder, classes, ignored), val=0.1, test=0.1)
    return [MaskFiles(pairs) for pairs in splits], classes


def read_classes(path: Path) -> list[str]:
    """Return the names of the classes, one in each line, from index 0 on."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the names of the classes in {path}: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def find_pairs(folder: Path, classes: list[str], ignored: int) -> list[Pair]:
    """Return the images of a folder with their masks: images/NAME.jpg (.png, ...), masks/NAME.png.

    A mask has one channel of 8 bits: the index of each pixel's class, or `ignored`. All files are
    read, to find what is wrong before the training; UserError names the file.
    """
    pairs = []
    for image in sorted(folder.glob("images/*")):
        hidden = image.name.startswith(".")  # macOS adds such files
        if image.suffix.lower() in IMG_EXTENSIONS and not hidden:
            pairs.append((image, folder / "masks" / f"{image.stem}.png"))
    if not pairs:
        raise UserError(f"{folder / 'images'} holds no images")
    allowed = {*range(len(classes)), ignored}
    found: set[int] = set()
    with ThreadPoolExecutor() as pool:
        for (_, mask), labels in zip(pairs, pool.map(read_labels, pairs), strict=True):
            if labels - allowed:
                raise UserError(describe_label(mask, min(labels - allowed), len(classes)))
            found |= labels
    if found <= {0, ignored}:
        raise UserError(
            f"{folder / 'masks'}: no mask holds a class but 0; "
            "a white object needs label 1, not 255"
        )
    return pairs


def read_labels(pair: Pair) -> set[int]:
    """Return the labels in a mask. Raises UserError if it does not fit its image."""
    image, mask = pair
    if not mask.is_file():
        raise UserError(f"{mask} is missing: {image} has no mask")
    pixels = read_mask(mask)
    if pixels.mode not in ("L", "P"):
        raise UserError(
            f"{mask} has the mode {pixels.mode}: "
            "a mask has one channel of 8 bits, with class indices"
        )
    size = read_image(image).size
    if pixels.size != size:
        width, height = pixels.size
        raise UserError(f"{mask} has {width} x {height} pixels, its image {size[0]} x {size[1]}")
    return {label for label, number in enumerate(pixels.histogram()) if number}


def describe_label(mask: Path, label: int, classes: int) -> str:
    """Return the message about a label that no class has: it names the first pixel."""
    labels = pil_to_tensor(read_mask(mask))[0]
    row, column = torch.nonzero(labels == label)[0].tolist()
    return (
        f"{mask}, row {row}, column {column}: label {label} is none of the {classes} classes, "
        "which count from 0"
    )


def read_mask(path: Path) -> Image.Image:
    """Return a mask as it is stored. Raises UserError if it cannot be read."""
    try:
        with Image.open(path) as file:
            file.load()
            return file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the mask {path}: {error}") from None
