"""The training, validation and test splits: images, the numbers of their classes, and noise."""

import math
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor
from tqdm import tqdm

from .engine.cache import get_cache_path, make_once, map_file
from .engine.errors import refuse_unused
from .engine.identity import hash_names
from .engine.labelled_images import (
    Images,
    LabelledFiles,
    find_image_splits,
    load_digits,
    load_torchvision,
)
from .engine.loader import InMemory
from .models import RandomFeatures

Splits = tuple[InMemory, InMemory, InMemory]  # train, val, test; `info` describes the images


def add_noise(
    batch: tuple[Tensor, ...], uniform: Tensor, *, flip: bool = False
) -> tuple[Tensor, ...]:
    """Add noise and a time to each image of a batch, and mirror half of them if `flip`.

    `uniform`, in [0, 1), has two numbers for each image, for its time and its mirroring, and one
    for each of its values.
    """
    images, labels = batch  # bytes (batch, channels, height, width), (batch,)
    if flip:
        images = torch.where(uniform[:, 1, None, None, None] < 0.5, images.flip(3), images)
    centered = (2 * uniform[:, 2:] - 1).clamp(min=-0.9999999)  # -1 would become minus infinity
    noise = math.sqrt(2) * torch.erfinv(centered).view(images.shape)  # standard normal
    times = uniform[:, 0]
    return images, labels, noise, times


def in_memory(
    args: Namespace, splits: tuple[Images, Images, Images], classes: list[str], flip: bool = False
) -> Splits:
    """Return splits in memory, with new noise in each epoch of training.

    Each validation and test image keeps its own noise, so that evaluations can be compared.
    """
    images, labels = splits[0]  # of the training split
    channels, image_size = images.shape[1:3]
    features = get_features(images)
    info = {
        "classes": classes,
        "channels": channels,
        "image_size": image_size,
        "feature_mean": features.mean(dim=0),
        "feature_std": features.std(dim=0),
    }
    columns = 2 + images[0].numel()  # random numbers that an image needs
    augment = partial(add_noise, flip=flip and args.augment)
    train = InMemory(images, labels, info=info, augment=augment, noise_columns=columns)
    generator = torch.Generator().manual_seed(0)
    others = []
    for split in splits[1:]:
        uniform = torch.rand(len(split[0]), columns, generator=generator)
        others.append(InMemory(*add_noise(split, uniform), info=info))
    val, test = others
    return train, val, test


def get_features(images: Tensor) -> Tensor:
    """Return the features of up to 1,000 of the images, for the scale of the Fréchet distance."""
    chosen = torch.linspace(0, len(images) - 1, min(len(images), 1000)).long()
    network = RandomFeatures(channels=images.shape[1], image_size=images.shape[2])
    features = []
    for part in chosen.split(100):
        features.append(network(images[part] / 127.5 - 1))
    return torch.cat(features)  # (images, 64)


def digits(args: Namespace) -> Splits:
    """Return 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, split 3:1:1."""
    refuse_unused(args, "data_dir", "image_size", dataset="digits")
    return in_memory(args, load_digits(), classes=list("0123456789"))


def torchvision_dataset(
    dataset: Callable[..., object], args: Namespace, flip: bool = False
) -> Splits:
    """Return one of torchvision's data sets; a tenth of its training images validates."""
    splits, classes = load_torchvision(args, dataset)
    return in_memory(args, splits, classes, flip)


def image_folder(args: Namespace) -> Splits:
    """Return own images: train/, val/ and test/ in --data-dir, or --data-dir itself to split 8:1:1.

    Each of these holds images, or a folder for each class.
    """
    files, info = find_image_splits(args.data_dir)
    train, val, test = [map_images(args, part) for part in files]
    splits = in_memory(args, (train, val, test), info["classes"], flip=True)
    for split, part in zip(splits, files, strict=True):
        split.info["notes"] = info["notes"]
        split.keys = hash_names(part.names)
    return splits


def map_images(args: Namespace, files: LabelledFiles) -> Images:
    """Return the middle squares of images, scaled to --image-size, and their labels.

    The images are read once, into a file of the cache that is mapped into memory. They are read
    again if a file, --image-size or this module has changed.
    """
    size = args.image_size
    module = Path(__file__).read_text(encoding="utf-8")
    path = get_cache_path([module, str(size), *files.identify()], "images.bin")
    make_once(path, partial(write_images, args, files))
    return map_file(path, torch.uint8).view(-1, 3, size, size), files.labels


def write_images(args: Namespace, files: LabelledFiles, path: Path) -> None:
    """Write the bytes of all images to a file: (images, 3, --image-size, --image-size)."""
    size = args.image_size

    def read(index: int) -> bytes:
        image, _ = files.read(index, size)
        square = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
        return pil_to_tensor(square).numpy().tobytes()

    disable = True if args.quiet else None  # None: if there is no terminal
    bar = tqdm(desc="images", total=len(files), leave=False, disable=disable)
    with bar, path.open("wb") as file, ThreadPoolExecutor() as pool:
        for indices in torch.arange(len(files)).split(1000):
            for pixels in pool.map(read, indices.tolist()):
                file.write(pixels)
                bar.update()


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "digits": digits,
    "mnist": partial(torchvision_dataset, torchvision.datasets.MNIST),
    "fashion_mnist": partial(torchvision_dataset, torchvision.datasets.FashionMNIST),
    "cifar10": partial(torchvision_dataset, torchvision.datasets.CIFAR10, flip=True),
    "image_folder": image_folder,
}
