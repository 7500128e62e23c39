"""Data sets of images with classes: digits, torchvision's, and folders of images."""

import unicodedata
from argparse import Namespace
from collections import Counter
# {% if cookiecutter.task in cookiecutter._uses.cache %}
from collections.abc import Callable, Iterator
# {% else %}
from collections.abc import Callable
# {% endif %}
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

# {% if cookiecutter.task in cookiecutter._uses.classes %}
from .classes import count_classes
# {% endif %}
from .errors import UserError, refuse_unused
from .identity import hash_names
from .images import SUFFIXES, read_image
from .listing import describe_left_out, list_files, list_folder
# {% if cookiecutter.task in cookiecutter._uses.classes %}
from .splits import (
    complete,
    describe_absent,
    divide,
    find_splits,
    get_split,
    join_names,
    split_indices,
)
# {% else %}
from .splits import complete, divide, find_splits, get_split, join_names, split_indices
# {% endif %}

Images = tuple[Tensor, Tensor]  # bytes (samples, channels, height, width), labels (samples,)


def load_digits() -> tuple[Images, Images, Images]:
    """Return 1,797 handwritten digits of 8 x 8 pixels from scikit-learn, split 3:1:1."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images * 255 / 16).round().byte().unsqueeze(1)
    labels = torch.tensor(data.target)
    train, val, test = split_indices(len(images), val=0.2, test=0.2)
    return (images[train], labels[train]), (images[val], labels[val]), (images[test], labels[test])


def load_torchvision(
    args: Namespace, dataset: Callable[..., Any]
) -> tuple[tuple[Images, Images, Images], list[str]]:
    """Return the splits and the classes of a data set of torchvision, with a tenth of train as val.

    Raises UserError if it is not in --data-dir and cannot be downloaded.
    """
    refuse_unused(args, "image_size")
    try:
        known = dataset(args.data_dir, train=True, download=True)
        unknown = dataset(args.data_dir, train=False, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--dataset {args.dataset} is not in {args.data_dir} and cannot be downloaded: {error}"
        ) from None
    images, labels = as_tensors(known)
    train, val, _ = split_indices(len(images), val=0.1, test=0.0)
    splits = (images[train], labels[train]), (images[val], labels[val]), as_tensors(unknown)
    return splits, known.classes


def as_tensors(dataset: Any) -> Images:
    """Return all images and labels of a data set of torchvision."""
    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.movedim(3, 1)
    return images, torch.as_tensor(dataset.targets)


@dataclass
class LabelledFiles:
    """The images of a split, read when they are needed, each with the number of its class."""

    folder: Path
    names: list[str]  # relative to `folder`
    labels: Tensor  # (samples,)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, size: int) -> tuple[Image.Image, int]:
        """Return an image, of which about `size` pixels of a side are needed, and its class."""
        return read_image(self.folder / self.names[index], size), int(self.labels[index])

    # {% if cookiecutter.task in cookiecutter._uses.cache %}
    def identify(self) -> Iterator[str]:
        """Yield what tells whether a file is the same as before."""
        for name in self.names:
            path = self.folder / name
            status = path.stat()
            yield f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"

    # {% endif %}
    def divide(self, val: float, test: float) -> list["LabelledFiles"]:
        """Return three parts with the same share of each class; `val` and `test` are shares."""
        parts = []
        for indices in divide(hash_names(self.names), val, test, strata=self.labels):
            names = [self.names[index] for index in indices.tolist()]
            parts.append(LabelledFiles(self.folder, names, self.labels[indices]))
        return parts


def find_image_splits(
    data_dir: Path, least_classes: int = 1
) -> tuple[list[LabelledFiles], dict[str, Any]]:
    """Return the images of the training, validation and test split, and `info` of their classes.

    The images are in train/, val/ and test/ of `data_dir`, or in `data_dir` itself, which is split
    8:1:1; each of these holds images, or a folder for each class. A tenth of train validates, and
    val is tested, if these are missing. Raises UserError if train, or a class of it, is missing.
    """
    folders, notes = find_splits(data_dir)
    samples: dict[str, list[tuple[Path, str]]] = {}
    left_out: Counter[str] = Counter()
    for split, (folder,) in (folders or {"train": [data_dir]}).items():
        paths, others = list_files(folder, SUFFIXES)
        left_out.update(others)
        if not paths:
            found = " ".join(describe_left_out(others)) or "no files"
            raise UserError(f"{folder} holds no images; {found}")
        samples[split] = find_classes(folder, paths)
        notes += find_empty(folder, samples[split])
    loose = [path for path in list_folder(data_dir) if path.suffix.lower() in SUFFIXES]
    if folders and loose:
        notes.append(f"left out beside the splits: {join_names(loose)}")
    classes = sorted({label for _, label in samples["train"]})
    check_classes(data_dir, classes, least_classes)
    splits = {}
    for split, pairs in samples.items():
        splits[split] = number_classes(data_dir, split, pairs, classes)
    files = complete(splits, LabelledFiles.divide)
    check_sizes(files)
    info: dict[str, Any] = {"classes": classes, "notes": notes + describe_left_out(left_out)}
    # {% if cookiecutter.task in cookiecutter._uses.classes %}
    info["class_counts"] = {}
    for split, part in zip(("train", "val", "test"), files, strict=True):
        info["class_counts"][split] = count_classes(part.labels, classes)
    info["notes"] += describe_absent(info["class_counts"])
    # {% endif %}
    return files, info


def find_classes(folder: Path, paths: list[Path]) -> list[tuple[Path, str]]:
    """Return each image with its class: the first folder below `folder`, "" if there is none.

    Raises UserError if some images have a class and others have none.
    """
    samples = []
    depth = len(folder.parts)
    for path in paths:
        inside = path.parts[depth:]
        samples.append((path, compose(inside[0]) if len(inside) > 1 else ""))
    stray = [path for path, label in samples if not label]
    if stray and len(stray) < len(samples):
        raise UserError(f"{stray[0]} is beside folders with images, and in none of them")
    return samples


def compose(name: str) -> str:
    """Return the name of a folder as it is mostly written: macOS stores é as e and an accent."""
    return unicodedata.normalize("NFC", name)


def find_empty(folder: Path, samples: list[tuple[Path, str]]) -> list[str]:
    """Return a note about the folders in a folder that hold no images, if there are any."""
    classes = {label for _, label in samples}
    folders = [path for path in list_folder(folder) if path.is_dir()]
    empty = [path for path in folders if compose(path.name) not in classes]
    return [f"without images: {join_names(empty)} in {folder}"] if empty else []


def check_classes(data_dir: Path, classes: list[str], least: int) -> None:
    """Raise UserError if there are fewer than `least` classes, or a class that holds splits."""
    for folder in list_folder(data_dir):
        if not folder.is_dir() or compose(folder.name) not in classes:
            continue
        inside = {get_split(path.name.lower()) for path in list_folder(folder)} - {""}
        if "train" in inside and len(inside) > 1:
            raise UserError(f"{folder} holds splits: is --data-dir {folder} meant?")
    if len(classes) >= least:
        return
    if classes == [""]:
        raise UserError(
            f"--data-dir {data_dir} needs a folder of images for each of two classes; "
            "its images are in none"
        )
    folder = data_dir / classes[0]
    raise UserError(
        f"--data-dir {data_dir} has one folder of images, {classes[0]}, and two classes need two: "
        f"is --data-dir {folder} meant?"
    )


def number_classes(
    data_dir: Path, split: str, samples: list[tuple[Path, str]], classes: list[str]
) -> LabelledFiles:
    """Return the images of a split, whose classes have the numbers that they have in train.

    Raises UserError if a class is not in train; one that is missing in this split is fine.
    """
    numbers = {label: number for number, label in enumerate(classes)}
    names = []
    labels = []
    depth = len(data_dir.parts)
    for path, label in samples:
        if label not in numbers:
            known = ", ".join(classes[:10])
            if label == "":
                raise UserError(
                    f"{path} has no class: it is in none of the folders {known}; images without a "
                    "class are no split, and belong elsewhere"
                )
            raise UserError(
                f"{path}: the class {label!r} of the {split} split has no training image; "
                f"train has {len(classes)} class(es): {known}"
            )
        names.append("/".join(path.parts[depth:]))
        labels.append(numbers[label])
    return LabelledFiles(data_dir, names, torch.tensor(labels))


def check_sizes(files: list[LabelledFiles]) -> None:
    """Raise UserError if a split has fewer than two images."""
    for name, part in zip(("train", "val", "test"), files, strict=True):
        if len(part) < 2:
            raise UserError(
                f"{part.folder}: {len(part)} image(s) are too few for {name}; "
                "add some, three or more to each class"
            )
