"""The training, validation and test splits that --dataset chooses from: images and the numbers of their classes."""

import math
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from loader import InMemory
from runtime import UserError

Splits = tuple[Any, Any, Any]  # train, val, test; the `info` of each names the classes


def augment(batch: list[Tensor], numbers: Tensor, *, flip: bool) -> list[Tensor]:
    """Rotate, scale and shift every image of a batch, and flip half of them where `flip`."""
    images, labels = batch  # (batch, channels, height, width), (batch,)
    rotation, zoom, right, down = (2 * numbers[:, :4] - 1).unbind(dim=1)  # each in [-1, 1)
    angle, scale = math.radians(10) * rotation, 1 + 0.1 * zoom
    cos, sin = scale * angle.cos(), scale * angle.sin()
    side = torch.where(numbers[:, 4] < 0.5, -1.0, 1.0) if flip else 1.0
    transform = torch.stack((cos * side, -sin, 0.1 * right, sin * side, cos, 0.1 * down), dim=1).view(-1, 2, 3)
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    return [F.grid_sample(images, grid, padding_mode="border", align_corners=False), labels]


def in_memory(args: Namespace, parts: list[tuple[Tensor, Tensor]], classes: list[str], flip: bool = False) -> Splits:
    """Hold images, valued from 0 to 1, and labels of the three splits in memory, scaled by those of the first."""
    std, mean = torch.std_mean(parts[0][0], dim=(0, 2, 3), keepdim=True)
    info = {"classes": classes, "mean": mean[0], "std": std[0]}
    train, val, test = [((images - mean) / std, labels) for images, labels in parts]
    augmented = partial(augment, flip=flip) if args.augment else None
    return InMemory(*train, augment=augmented, info=info), InMemory(*val, info=info), InMemory(*test, info=info)


def shuffled(number: int) -> Tensor:
    """Return the indices of so many samples in an order that is always the same, whatever --seed says."""
    return torch.randperm(number, generator=torch.Generator().manual_seed(0))


def digits(args: Namespace) -> Splits:
    """1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn; a fifth to validate, a fifth to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(data.target)
    train, val, test = shuffled(len(images)).tensor_split([3 * len(images) // 5, 4 * len(images) // 5])
    return in_memory(args, [(images[part], labels[part]) for part in (train, val, test)], list("0123456789"))


def from_torchvision(dataset: Callable[..., Any], flip: bool = False) -> Callable[[Namespace], Splits]:
    """Return a constructor of one of torchvision's data sets; a tenth of its training images is to validate."""

    def load(args: Namespace) -> Splits:
        try:
            train_val, test = (dataset(args.data_dir, train=train, download=True) for train in (True, False))
        except (OSError, RuntimeError) as error:
            raise UserError(f"--dataset {args.dataset} is not in {args.data_dir}, nor to be had: {error}") from None
        (images, labels), tests = as_tensors(train_val), as_tensors(test)
        val, train = shuffled(len(images)).tensor_split([len(images) // 10])
        return in_memory(
            args, [(images[train], labels[train]), (images[val], labels[val]), tests], train_val.classes, flip
        )

    return load


def as_tensors(dataset: Any) -> tuple[Tensor, Tensor]:
    """Return all images, (samples, channels, height, width) from 0 to 1, and labels of a torchvision data set."""
    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.movedim(3, 1)
    return images.float() / 255, torch.as_tensor(dataset.targets)


class ImageFiles(Dataset):
    """Images that are read from disk when they are needed."""

    def __init__(self, samples: list[tuple[str, int]], transform: Callable[[Any], Tensor], info: dict[str, Any]):
        self.samples, self.transform, self.info = samples, transform, info

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        try:
            image = Image.open(path).convert("RGB")
        except OSError as error:
            raise UserError(f"cannot read the image {path}: {error}") from None
        return self.transform(image), label


def image_folder(args: Namespace) -> Splits:
    """Own images, in the folders train/CLASS, val/CLASS and test/CLASS of --data-dir, or in CLASS to be split 8:1:1."""
    size, parts = args.image_size, ("train", "val", "test")
    inside = {path.name for path in args.data_dir.glob("*") if path.is_dir()}
    split = inside >= set(parts)
    if inside and inside < set(parts):
        raise UserError(f"--data-dir {args.data_dir} has only {', '.join(sorted(inside))} of train, val and test")
    try:
        folders = [ImageFolder(args.data_dir / part if split else args.data_dir) for part in parts]
    except OSError as error:
        raise UserError(f"--data-dir {args.data_dir}: {error}".splitlines()[0]) from None
    if any(folder.classes != folders[0].classes for folder in folders):
        raise UserError(f"--data-dir {args.data_dir}: train, val and test do not have the same classes")
    samples = [folder.samples for folder in folders]
    if not split:
        chosen = shuffled(len(samples[0])).tensor_split([8 * len(samples[0]) // 10, 9 * len(samples[0]) // 10])
        samples = [[samples[0][index] for index in part] for part in chosen]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]  # of ImageNet
    info = {"classes": folders[0].classes, "mean": mean, "std": std}
    tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.flatten(), std.flatten())]
    plain = v2.Compose([v2.Resize(size * 8 // 7), v2.CenterCrop(size), *tensor])
    augmented = v2.Compose([v2.RandomResizedCrop(size, (0.35, 1.0)), v2.RandomHorizontalFlip(), *tensor])
    transforms = (augmented if args.augment else plain, plain, plain)
    train, val, test = (ImageFiles(*pair, info) for pair in zip(samples, transforms, strict=True))
    return train, val, test


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "digits": digits,
    "mnist": from_torchvision(torchvision.datasets.MNIST),
    "fashion_mnist": from_torchvision(torchvision.datasets.FashionMNIST, flip=True),
    "cifar10": from_torchvision(torchvision.datasets.CIFAR10, flip=True),
    "cifar100": from_torchvision(torchvision.datasets.CIFAR100, flip=True),
    "image_folder": image_folder,
}
