"""Folders of images beside folders of masks or labels, as they are mostly laid out."""

from collections.abc import Sequence
from pathlib import Path

from .errors import UserError
from .splits import find_splits


def find_paired_folders(
    folder: Path, others: Sequence[str]
) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return the folders of the images and of their masks or labels for each split, and notes.

    These are train/images and train/masks, or images/train and masks/train, and so on; images and
    masks alone are one split, "train". `others` are the names that masks may have in place of
    "masks". Raises UserError if there are none.
    """
    folders, notes = find_splits(folder)
    pairs = {}
    if folders:
        for split, (path,) in folders.items():
            pairs[split] = (path / "images", find_other(path, others))
        return pairs, notes
    if not (folder / "images").is_dir():
        raise UserError(f"{folder} holds no images: it needs folders images and {others[0]}")
    other = find_other(folder, others)
    folders, notes = find_splits(folder / "images")
    if not folders:
        return {"train": (folder / "images", other)}, notes
    other_folders, _ = find_splits(other)
    for split, (path,) in folders.items():
        if split not in other_folders:
            raise UserError(f"{other} has no folder for the images of {path}")
        pairs[split] = (path, other_folders[split][0])
    return pairs, notes


def find_other(folder: Path, names: Sequence[str]) -> Path:
    """Return the folder in a folder that has one of the names."""
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise UserError(f"{folder} has no folder {' or '.join(names)} beside its images")


def group_by_stem(folder: Path, paths: list[Path]) -> dict[str, list[Path]]:
    """Return the files in a folder by their place in it, without suffix."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(get_stem(folder, path), []).append(path)
    return groups


def get_stem(folder: Path, path: Path) -> str:
    """Return the place of a file in a folder, without suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()
