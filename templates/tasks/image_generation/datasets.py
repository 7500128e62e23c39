"""The training, validation and test splits that --dataset chooses from: images, and the numbers of their classes."""

import math
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from loader import InMemory
from runtime import UserError

Splits = tuple[Any, Any, Any]  # train, val, test; the `info` of each names the classes
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def add_noise(batch: list[Tensor], numbers: Tensor, *, flip: bool = False) -> list[Tensor]:
    """Add to images and labels what a model needs to be random: noise and times; mirror half of the images if `flip`.

    `numbers`, uniform in [0, 1), are two for each image, for its time and its mirroring, and one for each value in it.
    """
    images, labels = batch  # bytes of the shape (batch, channels, height, width), (batch,)
    if flip:
        images = torch.where(numbers[:, 1, None, None, None] < 0.5, images.flip(3), images)
    centred = (2 * numbers[:, 2:] - 1).clamp(min=-0.9999999)  # -1 itself would become minus infinity
    noise = math.sqrt(2) * torch.erfinv(centred).view(images.shape)  # standard normal
    return [images, labels, noise, numbers[:, 0]]


def in_memory(args: Namespace, parts: list[tuple[Tensor, Tensor]], classes: list[str], flip: bool = False) -> Splits:
    """Hold images, as bytes, and labels of the three splits in memory; noise is new in each epoch of training, but
    belongs to each image of the others, so that all evaluations ask the same."""
    info, needed = {"classes": classes}, 2 + parts[0][0][0].numel()
    train = InMemory(*parts[0], info=info, augment=partial(add_noise, flip=flip and args.augment), noise=needed)
    generator = torch.Generator().manual_seed(0)
    val, test = (
        InMemory(*add_noise([images, labels], torch.rand(len(images), needed, generator=generator)), info=info)
        for images, labels in parts[1:]
    )
    return train, val, test


def shuffled(samples: int) -> Tensor:
    """Return an order of the samples in which they can be divided; it is the same for every seed."""
    return torch.randperm(samples, generator=torch.Generator().manual_seed(0))


def digits(args: Namespace) -> Splits:
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; a fifth to validate, a fifth to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.tensor(data.images * 255 / 16).round().byte().unsqueeze(1), torch.tensor(data.target)
    fifth = len(images) // 5
    parts = shuffled(len(images)).split([len(images) - 2 * fifth, fifth, fifth])
    return in_memory(args, [(images[part], labels[part]) for part in parts], list("0123456789"))


def from_torchvision(dataset: Callable[..., Any], flip: bool = False) -> Callable[[Namespace], Splits]:
    """Return a constructor of one of torchvision's data sets; a tenth of its training images is to validate."""

    def load(args: Namespace) -> Splits:
        try:
            known, test = (dataset(args.data_dir, train=train, download=True) for train in (True, False))
        except (OSError, RuntimeError) as error:
            raise UserError(f"--dataset {args.dataset} is not in {args.data_dir}, nor to be had: {error}") from None
        (images, labels), tests = as_tensors(known), as_tensors(test)
        tenth = len(images) // 10
        val, train = shuffled(len(images)).split([tenth, len(images) - tenth])
        return in_memory(args, [(images[train], labels[train]), (images[val], labels[val]), tests], known.classes, flip)

    return load


def as_tensors(dataset: Any) -> tuple[Tensor, Tensor]:
    """Return all images, as bytes (samples, channels, height, width), and labels of a torchvision data set."""
    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.movedim(3, 1)
    return images, torch.as_tensor(dataset.targets)


def image_folder(args: Namespace) -> Splits:
    """Own images: DIR/train, DIR/val and DIR/test, or else DIR to be divided 8:1:1, each with images in it or in a
    folder for each class."""
    parts = ("train", "val", "test")
    inside = {path.name for path in args.data_dir.glob("*") if path.is_dir()}
    if inside >= set(parts):
        samples = [find_images(args.data_dir / part) for part in parts]
    elif inside and inside < set(parts):
        raise UserError(f"--data-dir {args.data_dir} has only {', '.join(sorted(inside))} of train, val and test")
    else:
        found = find_images(args.data_dir)
        tenth, order = len(found) // 10, shuffled(len(found)).tolist()
        indices = order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]
        samples = [[found[index] for index in part] for part in indices]
    classes = sorted({name for _, name in samples[0]})
    for split, part in zip(("train", "validate", "test"), samples, strict=True):
        if len(part) < 2:
            raise UserError(f"--data-dir {args.data_dir}: {len(part)} image(s) are too few to {split}")
        for path, name in part:
            if name not in classes:
                raise UserError(f"{path}: there are no training images of the class {name!r}")
    with ThreadPoolExecutor(args.workers or 1) as pool:
        read = partial(read_image, size=args.image_size)
        images = [torch.stack(list(pool.map(read, [path for path, _ in part]))) for part in samples]
    labels = [torch.tensor([classes.index(name) for _, name in part]) for part in samples]
    return in_memory(args, list(zip(images, labels, strict=True)), classes, flip=True)


def find_images(folder: Path) -> list[tuple[Path, str]]:
    """Return the images in a folder and in those within it, each with its class: the name of the folder it is in."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder}: there are no images in it")
    found = [(path, path.relative_to(folder).parts[0] if path.parent != folder else "") for path in paths]
    if any(name for _, name in found) and not all(name for _, name in found):
        path = next(path for path, name in found if not name)
        raise UserError(f"{path}: stands beside folders with images, but not in one of them")
    return found


def read_image(path: Path, size: int) -> Tensor:
    """Return the middle square of an image, scaled to `size` pixels, as bytes of the shape (3, size, size)."""
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        return pil_to_tensor(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path}: {error}") from None


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "digits": digits,
    "mnist": from_torchvision(torchvision.datasets.MNIST),
    "fashion_mnist": from_torchvision(torchvision.datasets.FashionMNIST),
    "cifar10": from_torchvision(torchvision.datasets.CIFAR10, flip=True),
    "image_folder": image_folder,
}
