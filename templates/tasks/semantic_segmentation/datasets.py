"""The training, validation and test splits that --dataset chooses from: images and the class of every pixel."""

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, random_split
from torchvision import tv_tensors
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights
from torchvision.transforms import v2

from loader import InMemory
from runtime import UserError

Splits = tuple[Any, Any, Any]  # train, val, test; the `info` of each names the classes
IGNORED = 255  # the class of pixels that count neither in the loss nor in the metrics, such as outlines


def shapes(args: Namespace) -> Splits:
    """1,600 drawn images of 40 x 40 pixels with up to three shapes over one another, whose outlines are ignored."""
    images, masks = draw_shapes(1600, 40, torch.Generator().manual_seed(0))  # the same images for every seed
    classes, splits = ["background", "circle", "ring", "triangle", "cross"], [1000, 200, 400]
    std, mean = torch.std_mean(images[: splits[0]], dim=(0, 2, 3), keepdim=True)
    info = {"classes": classes, "mean": mean[0], "std": std[0]}
    train, val, test = zip(((images - mean) / std).split(splits), masks.split(splits), strict=True)
    varied = augment if args.augment else None
    return InMemory(*train, augment=varied, noise=3, info=info), InMemory(*val, info=info), InMemory(*test, info=info)


def draw_shapes(count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noisy images, (count, 3, size, size) from 0 to 1, and their masks, (count, size, size).

    Where a shape lies is told by its signed distance: that of a pixel to its outline, below 0 inside.
    """

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    line = torch.linspace(-1, 1, size)
    ramp = uniform(3, 1, 1, low=-0.1, high=0.1) * line.view(size, 1) + uniform(3, 1, 1, low=-0.1, high=0.1) * line
    images = uniform(1, 1, 1, low=0.1, high=0.4) + ramp  # a background of nearly one gray
    masks = torch.zeros(count, size, size, dtype=torch.long)
    pixel = torch.arange(size) + 0.5
    for number in range(3):
        radius = uniform(1, 1, low=size / 7, high=size / 3.5)
        angle = uniform(1, 1, low=-0.3, high=0.3)
        x = pixel - uniform(1, 1, low=0.15 * size, high=0.85 * size)
        y = pixel.view(size, 1) - uniform(1, 1, low=0.15 * size, high=0.85 * size)
        x, y = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()  # (count, size, size)
        wide, high = x.abs(), y.abs()
        beam, bar = torch.maximum(wide - radius, high - radius / 3), torch.maximum(high - radius, wide - radius / 3)
        distances = [
            torch.hypot(x, y) - radius,  # circle
            (torch.hypot(x, y) - 0.7 * radius).abs() - 0.3 * radius,  # ring
            torch.maximum(wide * math.sqrt(0.75) + y / 2, -y) - 0.6 * radius,  # triangle
            torch.minimum(beam, bar),  # cross
        ]
        kind = torch.randint(4, (count, 1, 1), generator=generator)
        distance = torch.stack(distances).take_along_dim(kind.unsqueeze(0), dim=0)[0]
        distance = distance.masked_fill(uniform(1, 1) > 1 - 0.25 * number, size)  # not every image has all three
        color = uniform(3, 1, 1, low=0.3)
        images = images.lerp(color, (0.5 - distance).clamp(0, 1).unsqueeze(1))
        masks = torch.where(distance < 0, kind + 1, masks).masked_fill(distance.abs() < 0.5, IGNORED)
    return (images + 0.06 * torch.randn(images.shape, generator=generator)).clamp(0, 1), masks


def augment(batch: list[Tensor], numbers: Tensor) -> list[Tensor]:
    """Mirror and shift images and masks alike; what comes in at a border is ignored."""
    images, masks = batch  # (batch, channels, height, width), (batch, height, width)
    mirror = torch.where(numbers[:, 0] < 0.5, -1.0, 1.0)
    right, down = ((9 * numbers[:, 1:]).floor() - 4).unbind(dim=1)  # whole pixels
    height, width = masks.shape[1:]
    zero, one = torch.zeros_like(mirror), torch.ones_like(mirror)
    transform = torch.stack((mirror, zero, right * 2 / width, zero, one, down * 2 / height), dim=1).view(-1, 2, 3)
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    sample = partial(F.grid_sample, grid=grid, mode="nearest", padding_mode="border", align_corners=False)
    masks = sample(masks.unsqueeze(1).float()).squeeze(1).long()
    return [sample(images), masks.masked_fill((grid.abs() > 1).any(dim=3), IGNORED)]


class Files(Dataset):
    """Pairs of a PIL image and its mask, read when they are needed and brought to squares of `size` pixels."""

    def __init__(self, pairs: Any, size: int, info: dict[str, Any], augment: bool):
        self.pairs, self.size, self.info = pairs, size, info
        fit = [v2.Resize(None, max_size=size), self.pad]
        if augment:  # nearly that of DeepLabV3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587)
            scale, color = v2.ScaleJitter((size, size), (0.5, 2.0)), v2.ColorJitter(0.3, 0.3, 0.3)
            fit = [scale, self.pad, v2.RandomCrop(size), v2.RandomHorizontalFlip(), color]
        types = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}
        normalize = v2.Normalize(info["mean"].flatten().tolist(), info["std"].flatten().tolist())
        self.transform = v2.Compose([*fit, v2.ToDtype(types, scale=True), normalize, v2.ToPureTensor()])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.pairs[index]
        return self.transform(v2.functional.to_image(image), tv_tensors.Mask(v2.functional.pil_to_tensor(mask)[0]))

    def pad(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Add what is missing to a square, at the right and at the bottom, in the mean color; it is ignored."""
        height, width = mask.shape
        border = [0, 0, max(self.size - width, 0), max(self.size - height, 0)]
        color = (255 * self.info["mean"]).flatten().tolist()
        return v2.functional.pad(image, border, color), v2.functional.pad(mask, border, IGNORED)


def from_files(args: Namespace, parts: Sequence[Any], classes: list[str]) -> Splits:
    """Return the three splits of pairs of PIL images and masks."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # of ImageNet
    info = {"classes": classes, "mean": mean.view(3, 1, 1), "std": std.view(3, 1, 1)}
    train, val, test = (partial(Files, part, args.image_size, info) for part in parts)
    return train(augment=args.augment), val(augment=False), test(augment=False)


def from_torchvision(
    args: Namespace, classes: list[str], known: Callable[..., Any], test: Callable[..., Any]
) -> Splits:
    """Return the splits of one of torchvision's data sets; a tenth of its known part is to validate."""
    try:
        to_learn, to_test = known(args.data_dir), test(args.data_dir)
    except (OSError, RuntimeError) as error:
        raise UserError(f"--dataset {args.dataset} is not in {args.data_dir}, nor to be had: {error}") from None
    parts = random_split(to_learn, [0.9, 0.1], torch.Generator().manual_seed(0))
    return from_files(args, [*parts, to_test], classes)


def oxford_pet(args: Namespace) -> Splits:
    """Photos of cats and dogs (Parkhi et al. 2012); the border of a pet, which is not classified, is ignored."""
    labels = [IGNORED, 1, 0] + [IGNORED] * 253  # for what the files call pet 1, background 2 and border 3
    pets = partial(
        torchvision.datasets.OxfordIIITPet,
        target_types="segmentation",
        target_transform=methodcaller("point", labels),
        download=True,
    )
    return from_torchvision(args, ["background", "pet"], partial(pets, split="trainval"), partial(pets, split="test"))


def voc(args: Namespace) -> Splits:
    """Pascal VOC 2012 (Everingham et al. 2010); what is published of it to validate is to test here."""
    categories = DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"]
    there = (args.data_dir / "VOCdevkit" / "VOC2012" / "SegmentationClass").is_dir()
    scenes = partial(torchvision.datasets.VOCSegmentation, year="2012", download=not there)
    classes = ["background", *categories[1:]]
    return from_torchvision(args, classes, partial(scenes, image_set="train"), partial(scenes, image_set="val"))


class MaskFolder(Dataset):
    """Own images and masks: for each image, images/NAME.jpg or of another format, there is masks/NAME.png.

    A mask has one channel of 8 bits with the index of each pixel's class, or 255 where a pixel is to be ignored. All
    files are read once when this is made, to find what is wrong before training; UserError names the file.
    """

    def __init__(self, folder: Path, classes: list[str]):
        self.classes = classes
        images = sorted(path for path in folder.glob("images/*") if path.suffix.lower() in IMG_EXTENSIONS)
        if not images:
            raise UserError(f"{folder / 'images'} holds no images")
        self.pairs = [(path, folder / "masks" / f"{path.stem}.png") for path in images]
        with ThreadPoolExecutor() as pool:
            labels = set().union(*pool.map(self.check, self.pairs))
        if labels <= {0, IGNORED}:
            raise UserError(f"{folder / 'masks'}: no mask holds a class but 0; a white object needs label 1, not 255")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Image.Image, Image.Image]:
        image, mask = self.pairs[index]
        return read(image).convert("RGB"), read(mask)

    def check(self, pair: tuple[Path, Path]) -> set[int]:
        """Return the labels of a mask."""
        image, mask = pair
        if not mask.is_file():
            raise UserError(f"{mask} is missing: {image} has no mask")
        pixels = read(mask)
        if pixels.mode not in ("L", "P"):
            raise UserError(f"{mask} has the mode {pixels.mode}: a mask has one channel of 8 bits, with class indices")
        (width, height), size = pixels.size, read(image).size
        if size != (width, height):
            raise UserError(f"{mask} has {width} x {height} pixels, its image {size[0]} x {size[1]}")
        labels = {label for label, number in enumerate(pixels.histogram()) if number}
        outside = labels - {*range(len(self.classes)), IGNORED}
        if outside:
            row, column = (v2.functional.pil_to_tensor(pixels)[0] == min(outside)).nonzero()[0].tolist()
            where = f"{mask}, row {row}, column {column}"
            raise UserError(f"{where}: label {min(outside)} is none of the {len(self.classes)} classes, from 0 on")
        return labels


def read(path: Path) -> Image.Image:
    """Read an image file; one that cannot be read is a UserError that names it."""
    try:
        image = Image.open(path)
        image.load()
    except (OSError, SyntaxError) as error:  # SyntaxError is how PIL tells of some broken PNG files
        raise UserError(f"cannot read the image {path}: {error}") from None
    return image


def mask_folder(args: Namespace) -> Splits:
    """Own files: DIR/train/images, DIR/train/masks, and so on for val and test; or DIR/images and DIR/masks, to be
    split 8:1:1 by a seed. DIR/classes.txt names the classes, one a line, from index 0 on."""
    folder = args.data_dir
    try:
        classes = (folder / "classes.txt").read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {folder / 'classes.txt'}, which is to name the classes: {error}") from None
    classes = [name.strip() for name in classes if name.strip()]
    parts = [folder / part for part in ("train", "val", "test")]
    if any(part.is_dir() for part in parts):
        return from_files(args, [MaskFolder(part, classes) for part in parts], classes)
    pairs = MaskFolder(folder, classes)
    return from_files(args, random_split(pairs, [0.8, 0.1, 0.1], torch.Generator().manual_seed(0)), classes)


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "shapes": shapes,
    "oxford_pet": oxford_pet,
    "voc": voc,
    "mask_folder": mask_folder,
}
