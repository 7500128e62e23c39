# {% set labelled = cookiecutter.task in ("image_classification", "image_generation") %}
# {% set normalized = cookiecutter.task in ("image_classification", "semantic_segmentation") %}
# {% if labelled %}
"""Image data sets: digits, torchvision's, and folders of images."""
# {% else %}
"""Reading of image files."""
# {% endif %}

# {% if labelled %}
from argparse import Namespace
from collections.abc import Callable
# {% endif %}
from pathlib import Path
# {% if labelled %}
from typing import Any
# {% endif %}

# {% if labelled or normalized %}
import torch
# {% endif %}
from PIL import Image, ImageOps
# {% if labelled %}
from torch import Tensor
# {% endif %}

from .errors import UserError
# {% if labelled %}
from .splits import split_indices, split_list
# {% endif %}
# {% if labelled %}

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

Images = tuple[Tensor, Tensor]  # bytes (samples, channels, height, width), labels (samples,)
# {% endif %}
# {% if normalized %}

IMAGENET = {  # what models that were trained on ImageNet expect
    "channels": 3,
    "mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
    "std": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
}
# {% endif %}


def read_image(path: Path) -> Image.Image:
    """Return an image in RGB, turned as its EXIF data say.

    Raises UserError if it cannot be read.
    """
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path}: {error}") from None
# {% if cookiecutter.task == "object_detection" %}


def find_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image as `read_image` returns it, from its header alone.

    Raises UserError if it cannot be read.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            if "exif" in file.info and file.getexif().get(0x0112, 1) >= 5:
                return height, width  # the orientation: a quarter turn
            return width, height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path}: {error}") from None
# {% endif %}
# {% if labelled %}


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


def find_image_splits(
    data_dir: Path, least_classes: int = 1
) -> tuple[list[list[tuple[Path, str]]], list[str]]:
    """Return the (path, class) of the images of each split, and the classes.

    The images are in train/, val/ and test/ of `data_dir`, or in `data_dir` itself, which is split
    8:1:1; each of these holds images, or a folder for each class. Raises UserError if a split or a
    class is missing.
    """
    names = ("train", "val", "test")
    inside = {path.name for path in data_dir.glob("*") if path.is_dir()}
    present = [name for name in names if name in inside]
    if len(present) == 3:
        splits = [find_images(data_dir / name) for name in names]
    elif present:
        found = ", ".join(present)
        raise UserError(f"--data-dir {data_dir} has only {found} of train, val and test")
    else:
        splits = split_list(find_images(data_dir), val=0.1, test=0.1)
    classes = sorted({label for _, label in splits[0]})
    if len(classes) < least_classes:
        raise UserError(f"--data-dir {data_dir} needs a folder of images for each of two classes")
    for name, split in zip(names, splits, strict=True):
        if len(split) < 2:
            raise UserError(f"--data-dir {data_dir}: {len(split)} image(s) are too few for {name}")
        for path, label in split:
            if label not in classes:
                raise UserError(f"{path}: there are no training images of the class {label!r}")
    return splits, classes


def find_images(folder: Path) -> list[tuple[Path, str]]:
    """Return the images in a folder, each with its class: the first folder below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"--data-dir {folder} holds no images")
    images = []
    for path in paths:
        first = path.relative_to(folder).parts[0]
        images.append((path, "" if path.parent == folder else first))
    if len({label == "" for _, label in images}) == 2:
        stray = next(path for path, label in images if not label)
        raise UserError(f"{stray} is beside folders with images, and in none of them")
    return images
# {% endif %}
