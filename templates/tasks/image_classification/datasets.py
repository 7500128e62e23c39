"""The training, validation and test splits: images and their classes."""

import math
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.transforms import v2

from .engine.classes import count_classes
from .engine.errors import refuse_unused
from .engine.images import IMAGENET
from .engine.labelled_images import (
    Images,
    LabelledFiles,
    find_image_splits,
    load_digits,
    load_torchvision,
)
from .engine.loader import InMemory

Splits = tuple[Any, Any, Any]  # train, val, test; `info` of each describes the images


def augment(batch: tuple[Tensor, ...], noise: Tensor, *, flip: bool) -> tuple[Tensor, ...]:
    """Rotate, scale and shift each image of a batch at random; mirror half of them if `flip`."""
    images, labels = batch  # (batch, channels, height, width), (batch,)
    rotation, zoom, right, down = (2 * noise[:, :4] - 1).unbind(dim=1)  # each in [-1, 1)
    angle = math.radians(10) * rotation
    scale = 1 + 0.1 * zoom
    cos = scale * angle.cos()
    sin = scale * angle.sin()
    side = torch.ones_like(zoom)
    if flip:
        side = torch.where(noise[:, 4] < 0.5, -1.0, 1.0)
    transform = torch.stack((cos * side, -sin, 0.1 * right, sin * side, cos, 0.1 * down), dim=1)
    grid = F.affine_grid(transform.view(-1, 2, 3), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return images, labels


def normalize(splits: Any, classes: list[str]) -> tuple[list[Images], dict[str, Any]]:
    """Return splits with images normalized by those of the first split, and what describes them."""
    images = splits[0][0].float() / 255
    std, mean = torch.std_mean(images, dim=(0, 2, 3), keepdim=True)
    info: dict[str, Any] = {"classes": classes, "mean": mean[0], "std": std[0]}
    info["channels"], info["image_size"] = images.shape[1:3]
    info["class_counts"] = {"train": count_classes(splits[0][1], classes)}
    return [((images / 255 - mean) / std, labels) for images, labels in splits], info


def digits(args: Namespace) -> Splits:
    """Return 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, split 3:1:1."""
    refuse_unused(args, "data_dir", "image_size", dataset="digits")
    (train, val, test), info = normalize(load_digits(), classes=list("0123456789"))
    augmented = partial(augment, flip=False) if args.augment else None
    train_set = InMemory(*train, info=info, augment=augmented)
    return train_set, InMemory(*val, info=info), InMemory(*test, info=info)


def torchvision_dataset(dataset: Callable[..., Any], args: Namespace, flip: bool = False) -> Splits:
    """Return one of torchvision's data sets; a tenth of its training images validates."""
    splits, classes = load_torchvision(args, dataset)
    (train, val, test), info = normalize(splits, classes)
    augmented = partial(augment, flip=flip) if args.augment else None
    train_set = InMemory(*train, info=info, augment=augmented)
    return train_set, InMemory(*val, info=info), InMemory(*test, info=info)


class ImageFiles(Dataset):
    """Images that are read from their files when they are needed; `info` describes them."""

    def __init__(self, files: LabelledFiles, transform: Any, info: dict[str, Any]):
        self.files = files
        self.names = files.names
        self.transform = transform
        self.info = info

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.files.read(index, self.info["image_size"])
        return self.transform(image), label


def image_folder(args: Namespace) -> Splits:
    """Return own images: --data-dir holds SPLIT/CLASS/*, or CLASS/* to split 8:1:1."""
    splits, info = find_image_splits(args.data_dir, least_classes=2)
    size = args.image_size
    info = {**info, **IMAGENET, "image_size": size, "resize": size * 8 // 7}
    augmentation: list[nn.Module] = []
    if args.augment:
        augmentation = [v2.RandomResizedCrop(size, (0.7, 1.0)), v2.RandomHorizontalFlip()]
    train = ImageFiles(splits[0], get_transform(info, *augmentation), info)
    plain = get_transform(info)
    return train, ImageFiles(splits[1], plain, info), ImageFiles(splits[2], plain, info)


def get_transform(info: dict[str, Any], *augmentation: nn.Module) -> v2.Transform:
    """Return what makes a normalized tensor, (channels, size, size), of a PIL image in RGB.

    Without an augmentation, it is the middle of the image after its shorter side is resized to
    info["resize"], by default to the size of the tensor.
    """
    size = info["image_size"]
    steps = list(augmentation) or [v2.Resize(info.get("resize", size)), v2.CenterCrop(size)]
    if info["channels"] == 1:
        steps.append(v2.Grayscale())
    normalize = v2.Normalize(info["mean"].flatten().tolist(), info["std"].flatten().tolist())
    steps += [v2.ToImage(), v2.Lambda(Tensor.contiguous)]  # channels first: faster to normalize
    return v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), normalize])


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "digits": digits,
    "mnist": partial(torchvision_dataset, torchvision.datasets.MNIST),
    "fashion_mnist": partial(torchvision_dataset, torchvision.datasets.FashionMNIST, flip=True),
    "cifar10": partial(torchvision_dataset, torchvision.datasets.CIFAR10, flip=True),
    "cifar100": partial(torchvision_dataset, torchvision.datasets.CIFAR100, flip=True),
    "image_folder": image_folder,
}
