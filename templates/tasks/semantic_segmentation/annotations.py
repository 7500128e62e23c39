"""Images with masks: torchvision's data sets, and folders of own files."""

import random
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Subset

from .errors import UserError, refuse_unused
from .identity import hash_names
from .images import SUFFIXES, find_size, read_image
from .listing import describe_left_out, list_files
from .masks import IGNORED, MaskReader, read_classes
from .paired_folders import find_paired_folders, get_stem, group_by_stem
from .splits import complete, divide, split_indices
from .terminal import say

MASK_SUFFIXES = SUFFIXES - {".pbm", ".pgm", ".pnm", ".ppm"}  # their values are scaled when read
CHECKED = 100  # masks that are read before a training, --check-data reads all
MASK_FOLDERS = ("masks", "labels")  # beside the images
ENDINGS = ("", "_mask", "-mask", "_label", "_labels", "_gt", "_seg")  # of a mask's name


def load_torchvision(
    args: Namespace, known: Callable[..., Any], unknown: Callable[..., Any]
) -> list[Any]:
    """Return the splits of a data set of torchvision: pairs of an image and its mask.

    `unknown` is to test, and a tenth of `known` validates. Raises UserError if they are not in
    --data-dir and cannot be downloaded.
    """
    refuse_unused(args, "ignore_index")
    try:
        pairs = known(args.data_dir)
        test = unknown(args.data_dir)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--dataset {args.dataset} is not in {args.data_dir} and cannot be downloaded: {error}"
        ) from None
    train, val, _ = split_indices(len(pairs), val=0.1, test=0.0)
    return [Subset(pairs, train.tolist()), Subset(pairs, val.tolist()), test]


@dataclass
class MaskFiles:
    """Pairs of an image and its mask, read when they are needed."""

    folder: Path
    names: list[str]  # of the images, relative to `folder`
    masks: list[Path]
    reader: MaskReader

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Image.Image, Image.Image]:
        image = read_image(self.folder / self.names[index])
        mask = self.reader.read(self.masks[index])
        check_size(self.masks[index], mask.size, image.size)
        return image, mask

    def divide(self, val: float, test: float) -> list["MaskFiles"]:
        """Return three parts; `val` and `test` are shares."""
        parts = []
        for indices in divide(hash_names(self.names), val, test):
            names = [self.names[index] for index in indices.tolist()]
            masks = [self.masks[index] for index in indices.tolist()]
            parts.append(MaskFiles(self.folder, names, masks, self.reader))
        return parts

    def find_labels(self, index: int) -> set[int]:
        """Return the labels in a mask. Raises UserError if it is wrong, or not of its image."""
        mask = self.reader.read(self.masks[index])
        check_size(self.masks[index], mask.size, find_size(self.folder / self.names[index]))
        return {label for label, number in enumerate(mask.histogram()) if number}


def check_size(path: Path, size: tuple[int, int], image_size: tuple[int, int]) -> None:
    """Raise UserError if a mask has another (width, height) than its image."""
    if size == image_size:
        return
    width, height = image_size
    text = f"{path} has {size[0]} x {size[1]} pixels, its image {width} x {height}"
    if size == (height, width):
        text += ": is the image turned by its EXIF data, and the mask not?"
    raise UserError(text)


def find_mask_splits(folder: Path, ignored: int) -> tuple[list[MaskFiles], MaskReader, list[str]]:
    """Return the training, validation and test split in a folder, the reader of masks, and notes.

    The splits are train/images and train/masks, or images/train and masks/train, and so on, or
    `folder` itself, with images/ and masks/, is split 8:1:1. A tenth of train validates, and val is
    tested, if these are missing. Raises UserError, which names the file.
    """
    reader = read_classes(folder / "classes.txt", ignored)
    folders, notes = find_paired_folders(folder, MASK_FOLDERS)
    left_out: Counter[str] = Counter()
    splits = {}
    for split, (images, masks) in folders.items():
        splits[split] = find_pairs(folder, images, masks, reader, left_out)
    notes += describe_left_out(left_out)
    notes += check_masks(folder, splits, reader)
    return complete(splits, MaskFiles.divide), reader, notes


def check_masks(folder: Path, splits: dict[str, MaskFiles], reader: MaskReader) -> list[str]:
    """Read some masks, and return notes about ignored pixels, and classes that none of them has.

    These are so many that a start does not take longer with more files; if they have nothing but
    the first class, more are read, until one has another. Raises UserError if one is wrong, or if
    there is nothing but the first class in all masks.
    """
    masks = []
    for split in splits.values():
        masks += [(split, index) for index in range(len(split))]
    random.Random(0).shuffle(masks)
    found: Counter[int] = Counter()  # masks by label
    read = 0
    with ThreadPoolExecutor() as pool:
        while read < len(masks) and set(found) <= {0, IGNORED}:
            files, indices = zip(*masks[read : read + CHECKED], strict=True)
            for labels in pool.map(MaskFiles.find_labels, files, indices):
                found.update(labels)
                read += 1
    if set(found) <= {0, IGNORED}:
        hint = ""
        if found[IGNORED]:
            hint = f"; {found[IGNORED]:,} masks have {reader.ignored}, which is ignored: "
            hint += "a white object needs label 1, not 255, or its color in classes.txt"
        raise UserError(f"{folder}: no mask holds a class but {reader.classes[0]!r}{hint}")
    notes = []
    if found[IGNORED]:
        notes.append(f"{found[IGNORED]:,} of {read:,} masks have pixels that are ignored")
    missing = [name for label, name in enumerate(reader.classes) if label not in found]
    if missing:
        notes.append(f"none of {read:,} masks has the class {', '.join(missing[:10])}")
    return notes


def find_pairs(
    folder: Path, images: Path, masks: Path, reader: MaskReader, left_out: Counter[str]
) -> MaskFiles:
    """Return the images of a folder with their masks: images/NAME.jpg, masks/NAME.png and so on.

    Counts the files that are left out. Raises UserError if an image has no mask, or two of them.
    """
    paths, others = list_files(images, SUFFIXES) if images.is_dir() else ([], Counter())
    left_out.update(others)
    if not paths:
        raise UserError(f"{images} holds no images")
    mask_paths, others = list_files(masks, MASK_SUFFIXES)
    left_out.update(others)
    by_stem = group_by_stem(masks, mask_paths)
    images_of: dict[Path, Path] = {}  # by their masks
    names = []
    chosen = []
    for path in paths:
        stem = get_stem(images, path)
        found = find_masks(by_stem, stem)
        if not found:
            raise UserError(f"{masks / stem}.png is missing: {path} has no mask")
        if len(found) > 1:
            raise UserError(f"{path} has more than one mask: {found[0]} and {found[1]}")
        first = images_of.setdefault(found[0], path)
        if first != path:
            raise UserError(f"{path} and {first} have the same mask, {found[0]}")
        names.append(path.relative_to(folder).as_posix())
        chosen.append(found[0])
    if len(mask_paths) > len(set(chosen)):
        left_out["mask without an image"] += len(mask_paths) - len(set(chosen))
    return MaskFiles(folder, names, chosen, reader)


def find_masks(by_stem: dict[str, list[Path]], stem: str) -> list[Path]:
    """Return the masks with the name of an image, and perhaps an ending; both without a suffix."""
    found = []
    for ending in ENDINGS:
        found += by_stem.get(stem + ending, [])
    return found


class MaskFinder:
    """Finds the masks of images: in `folder`, or else in masks/ or labels/ beside images/."""

    def __init__(self, folder: Path | None):
        self.folder = folder.absolute() if folder is not None else None
        self.groups: dict[Path, dict[str, list[Path]]] = {}  # masks by folder and stem

    def is_mask(self, path: Path) -> bool:
        """Return whether a file is in a folder of masks."""
        for parent in path.absolute().parents:
            if parent == self.folder:
                return True
            if parent.name in MASK_FOLDERS and parent.with_name("images").is_dir():
                return True
        return False

    def find_all(self, paths: list[Path]) -> list[Path] | None:
        """Return the masks of images; None unless each has one.

        Raises UserError if `folder` lacks one, or if an image has two.
        """
        masks = []
        for path in paths:
            found = self.find(path.absolute())
            if len(found) > 1:
                raise UserError(f"{path} has more than one mask: {found[0]} and {found[1]}")
            if not found and self.folder is not None:
                raise UserError(f"{self.folder} holds no mask of {path}")
            masks += found
        if len(masks) == len(paths):
            return masks
        if masks:
            missing = len(paths) - len(masks)
            say(f"no metrics: {missing:,} of {len(paths):,} images have no mask", sys.stderr)
        return None

    def find(self, path: Path) -> list[Path]:
        """Return the masks of an image, of which there should be one.

        The longest part of its path that a mask has decides: a/1.png is that of a/1.jpg, although
        there is a 1.png, too.
        """
        for parent in reversed(path.parents):
            folder = self.folder or find_mask_folder(parent)
            if folder is not None:
                found = find_masks(self.group(folder), get_stem(parent, path))
                if found:
                    return found
        return []

    def group(self, folder: Path) -> dict[str, list[Path]]:
        """Return the masks in a folder by their stems."""
        if folder not in self.groups:
            self.groups[folder] = group_by_stem(folder, list_files(folder, MASK_SUFFIXES)[0])
        return self.groups[folder]


def find_mask_folder(images: Path) -> Path | None:
    """Return the folder of masks beside a folder of images if this is the usual layout."""
    if images.name != "images":
        return None
    for name in MASK_FOLDERS:
        if images.with_name(name).is_dir():
            return images.with_name(name)
    return None
