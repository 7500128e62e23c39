"""Folders of own images and masks."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .errors import UserError
from .identity import hash_names
from .images import SUFFIXES, find_size, read_image
from .listing import describe_left_out, list_files
from .masks import IGNORED, MaskReader, read_classes
from .paired_folders import find_paired_folders, group_by_stem
from .splits import divide

MASK_SUFFIXES = SUFFIXES - {".pbm", ".pgm", ".pnm", ".ppm"}  # their values are scaled when read
ENDINGS = ("", "_mask", "-mask", "_label", "_labels", "_gt", "_seg")  # of a mask's name


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

    def select(self, indices: list[int]) -> "MaskFiles":
        """Return some of the pairs."""
        names = [self.names[index] for index in indices]
        masks = [self.masks[index] for index in indices]
        return MaskFiles(self.folder, names, masks, self.reader)

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


def find_mask_splits(folder: Path, ignored: int) -> tuple[list[MaskFiles], list[str], list[str]]:
    """Return the training, validation and test split in a folder, the classes, and notes.

    The splits are train/images and train/masks, or images/train and masks/train, and so on, or
    `folder` itself, with images/ and masks/, is split 8:1:1. A tenth of train validates, and val is
    tested, if these are missing. All masks are read, to find what is wrong before the training.
    Raises UserError, which names the file.
    """
    reader = read_classes(folder / "classes.txt", ignored)
    folders, notes = find_paired_folders(folder, ("masks", "labels"))
    left_out: Counter[str] = Counter()
    splits = {}
    for split, (images, masks) in folders.items():
        splits[split] = find_pairs(folder, images, masks, reader, left_out)
    notes += describe_left_out(left_out)
    notes += check_masks(folder, splits, reader)
    if "val" not in splits:
        train = splits["train"]
        share = 0.0 if "test" in splits else 0.1
        parts = divide(hash_names(train.names), val=0.1, test=share)
        train, val, test = (train.select(indices.tolist()) for indices in parts)
        splits = {"test": test, **splits, "train": train, "val": val}
    chosen = [splits["train"], splits["val"], splits.get("test", splits["val"])]
    return chosen, reader.classes, notes


def check_masks(folder: Path, splits: dict[str, MaskFiles], reader: MaskReader) -> list[str]:
    """Read all masks, and return notes about ignored pixels, and classes that no mask has.

    Raises UserError if a mask is wrong, or if there is nothing but the first class in all of them.
    """
    found: Counter[int] = Counter()  # masks by label
    with ThreadPoolExecutor() as pool:
        for files in splits.values():
            for labels in pool.map(files.find_labels, range(len(files))):
                found.update(labels)
    if set(found) <= {0, IGNORED}:
        hint = ""
        if found[IGNORED]:
            hint = f"; {found[IGNORED]:,} masks have {reader.ignored}, which is ignored: "
            hint += "a white object needs label 1, not 255, or its color in classes.txt"
        raise UserError(f"{folder}: no mask holds a class but {reader.classes[0]!r}{hint}")
    notes = []
    if found[IGNORED]:
        masks = sum(map(len, splits.values()))
        notes.append(f"{found[IGNORED]:,} of {masks:,} masks have pixels that are ignored")
    missing = [name for label, name in enumerate(reader.classes) if label not in found]
    if missing:
        notes.append(f"no mask has the class {', '.join(missing[:10])}")
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
        stem = path.relative_to(images).with_suffix("")
        found = []
        for ending in ENDINGS:
            found += by_stem.get(stem.with_name(stem.name + ending), [])
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
