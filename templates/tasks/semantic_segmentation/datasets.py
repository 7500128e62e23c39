"""The training, validation and test splits: images and the class of each pixel."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

import torch
import torchvision
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights
from torchvision.transforms import v2

from .engine.annotations import find_mask_splits, load_torchvision
from .engine.errors import refuse_unused
from .engine.images import IMAGENET
from .engine.loader import InMemory
from .engine.masks import IGNORED, pad_to_square
from .engine.shapes import CLASSES, draw_shapes

Splits = tuple[Any, Any, Any]  # train, val, test; `info` of each describes the images


def shapes(args: Namespace) -> Splits:
    """Return 1,600 drawn images of 40 x 40 pixels with up to three shapes, split 1000:200:400."""
    refuse_unused(args, "data_dir", "image_size", "ignore_index", dataset="shapes")
    images, masks = draw_shapes(1600, 40, IGNORED)
    std, mean = torch.std_mean(images[:1000], dim=(0, 2, 3), keepdim=True)
    images = (images - mean) / std
    info = {"classes": CLASSES, "channels": 3, "mean": mean[0], "std": std[0], "image_size": 40}
    augmented = augment if args.augment else None
    return (
        InMemory(images[:1000], masks[:1000], info=info, augment=augmented, noise_columns=3),
        InMemory(images[1000:1200], masks[1000:1200], info=info),
        InMemory(images[1200:], masks[1200:], info=info),
    )


def augment(batch: tuple[Tensor, ...], noise: Tensor) -> tuple[Tensor, ...]:
    """Mirror and shift images and masks alike; pixels that come in at a border are ignored."""
    images, masks = batch  # (batch, channels, height, width), (batch, height, width)
    side = torch.where(noise[:, 0] < 0.5, -1.0, 1.0)
    right, down = ((9 * noise[:, 1:]).floor() - 4).unbind(dim=1)  # whole pixels, -4 to 4
    height, width = masks.shape[1:]
    zero = torch.zeros_like(side)
    one = torch.ones_like(side)
    transform = torch.stack(
        (side, zero, right * 2 / width, zero, one, down * 2 / height), dim=1
    ).view(-1, 2, 3)
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    sample = partial(
        F.grid_sample, grid=grid, mode="nearest", padding_mode="border", align_corners=False
    )
    masks = sample(masks.unsqueeze(1).float()).squeeze(1).long()
    outside = (grid.abs() > 1).any(dim=3)
    return sample(images), masks.masked_fill(outside, IGNORED)


class ToSquare:
    """Fits images and their masks into squares of info["image_size"] pixels, and normalizes them.

    They are resized, and padded at the right and at the bottom: in the mean color, and ignored.
    """

    def __init__(self, info: dict[str, Any], augmented: bool = False):
        size = info["image_size"]
        color = (255 * info["mean"]).flatten().tolist()
        pad = partial(pad_to_square, size=size, color=color)
        self.resize: v2.Transform = v2.Resize(None, max_size=size)
        changes: list[v2.Transform] = []
        if augmented:  # like that of DeepLabV3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587)
            self.resize = v2.ScaleJitter((size, size), (0.5, 2.0))
            changes.append(v2.RandomCrop(size))
            changes.append(v2.RandomHorizontalFlip())
            changes.append(v2.ColorJitter(0.3, 0.3, 0.3))
        types = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}
        normalize = v2.Normalize(info["mean"].flatten().tolist(), info["std"].flatten().tolist())
        to_tensors = [v2.ToDtype(types, scale=True), normalize, v2.ToPureTensor()]
        self.finish = v2.Compose([pad, *changes, *to_tensors])

    def __call__(self, image: Image, mask: Image) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return the square image, (3, size, size), and its labels, (size, size).

        The third value is the height and width that the image had before it was padded.
        """
        labels = v2.functional.pil_to_tensor(mask)[0]  # (height, width)
        resized = self.resize(v2.functional.to_image(image), tv_tensors.Mask(labels))
        height, width = resized[1].shape
        square, square_labels = self.finish(*resized)
        return square, square_labels, (height, width)


class ImageFiles(Dataset):
    """Pairs of an image and its mask, read when they are needed, as squares.

    `pairs[index]` is a pair of PIL images; own files have `names`.
    """

    def __init__(self, pairs: Any, info: dict[str, Any], augmented: bool = False):
        self.pairs = pairs
        if hasattr(pairs, "names"):
            self.names = pairs.names
        self.info = info
        self.transform = ToSquare(info, augmented)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask, _ = self.transform(*self.pairs[index])
        return image, mask


def from_pairs(args: Namespace, splits: Any, facts: dict[str, Any]) -> Splits:
    """Return the splits of pairs of PIL images and masks; `facts` are what `info` tells of them."""
    train, val, test = splits
    info = {**IMAGENET, "image_size": args.image_size, **facts}
    return ImageFiles(train, info, args.augment), ImageFiles(val, info), ImageFiles(test, info)


def oxford_pet(args: Namespace) -> Splits:
    """Return photographs of cats and dogs (Parkhi et al. 2012); the pets' borders are ignored."""
    labels = [IGNORED, 1, 0] + [IGNORED] * 253  # of pet 1, background 2 and border 3 in the files
    pets = partial(
        torchvision.datasets.OxfordIIITPet,
        target_types="segmentation",
        target_transform=methodcaller("point", labels),
        download=True,
    )
    splits = load_torchvision(args, partial(pets, split="trainval"), partial(pets, split="test"))
    return from_pairs(args, splits, {"classes": ["background", "pet"]})


def voc(args: Namespace) -> Splits:
    """Return Pascal VOC 2012 (Everingham et al. 2010); its validation images are the test split."""
    present = (args.data_dir / "VOCdevkit" / "VOC2012" / "SegmentationClass").is_dir()
    scenes = partial(torchvision.datasets.VOCSegmentation, year="2012", download=not present)
    known, unknown = partial(scenes, image_set="train"), partial(scenes, image_set="val")
    categories = DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"]
    splits = load_torchvision(args, known, unknown)
    return from_pairs(args, splits, {"classes": ["background", *categories[1:]]})


def mask_folder(args: Namespace) -> Splits:
    """Return own data in --data-dir: images/ and masks/, also in train/, val/ and test/."""
    splits, reader, notes = find_mask_splits(args.data_dir, args.ignore_index)
    facts = {"classes": reader.classes, "mask_format": reader.get_format(), "notes": notes}
    return from_pairs(args, splits, facts)


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "shapes": shapes,
    "oxford_pet": oxford_pet,
    "voc": voc,
    "mask_folder": mask_folder,
}
