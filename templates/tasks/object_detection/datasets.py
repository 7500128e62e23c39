"""The training, validation and test splits: images with boxes and the classes of the boxes.

A sample is (image, boxes, labels): (3, size, size) from 0 to 1, (most, 4) as x1, y1, x2, y2 in
pixels, and (most,). `most` is the highest number of boxes in an image; the label -1 fills up.
"""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.datasets import VOCDetection
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes

from .engine.annotations import CocoFile, Sample, make_sample, read_voc_objects
from .engine.errors import UserError
from .engine.images import read_image
from .engine.loader import InMemory
from .engine.shapes import CLASSES, draw_shapes
from .engine.splits import split_list

Splits = tuple[Any, Any, Any]  # train, val, test; `info` of each describes the images
VOC_CLASSES = DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"][1:]  # without background


def shapes(args: Namespace) -> Splits:
    """Return 1,600 drawn images of 64 x 64 pixels with up to four shapes, split 1000:300:300."""
    images, boxes, labels = draw_shapes(1600, 64)
    info = {"classes": CLASSES, "image_size": 64}
    augmented = augment if args.augment else None
    return (
        InMemory(images[:1000], boxes[:1000], labels[:1000], info=info, augment=augmented),
        InMemory(images[1000:1300], boxes[1000:1300], labels[1000:1300], info=info),
        InMemory(images[1300:], boxes[1300:], labels[1300:], info=info),
    )


def augment(batch: tuple[Tensor, ...], noise: Tensor) -> tuple[Tensor, ...]:
    """Mirror half of the images left to right, half top to bottom; change the brightness."""
    images, boxes, labels = batch  # (batch, 3, size, size), (batch, most, 4), (batch, most)
    size = images.shape[3]
    is_mirrored = noise[:, 0] < 0.5
    is_turned = noise[:, 1] < 0.5
    images = torch.where(is_mirrored[:, None, None, None], images.flip(3), images)
    images = torch.where(is_turned[:, None, None, None], images.flip(2), images)
    mirrored = size - boxes[..., [2, 1, 0, 3]]
    mirrored[..., [1, 3]] = boxes[..., [1, 3]]
    boxes = torch.where(is_mirrored[:, None, None], mirrored, boxes)
    turned = size - boxes[..., [0, 3, 2, 1]]
    turned[..., [0, 2]] = boxes[..., [0, 2]]
    boxes = torch.where(is_turned[:, None, None], turned, boxes)
    brightness = 0.8 + 0.4 * noise[:, 2, None, None, None]
    return (images * brightness).clamp(max=1), boxes, labels


class ImageFiles(Dataset):
    """Images that are read when they are needed, with their boxes, fitted into a square."""

    def __init__(
        self, samples: list[Sample], size: int, classes: list[str], augmented: bool = False
    ):
        self.samples = samples
        self.size = size
        self.info = {"classes": classes, "image_size": size}
        self.most = max([1, *(len(labels) for _, _, labels in samples)])
        transforms = [v2.ToImage()]
        if augmented:  # as for SSD (Liu et al. 2016, https://arxiv.org/abs/1512.02325)
            transforms.append(v2.RandomPhotometricDistort())
            transforms.append(v2.RandomIoUCrop())
            transforms.append(v2.RandomHorizontalFlip())
        transforms.append(v2.Resize(None, max_size=size))
        transforms.append(v2.ClampBoundingBoxes())
        transforms.append(v2.SanitizeBoundingBoxes())  # no box that a crop has left outside
        transforms.append(v2.ToDtype(torch.float32, scale=True))
        self.transform = v2.Compose(transforms)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        path, boxes, labels = self.samples[index]
        image = read_image(path)
        boxes = BoundingBoxes(boxes, format="XYXY", canvas_size=(image.height, image.width))
        sample = self.transform({"image": image, "boxes": boxes, "labels": labels})
        height, width = sample["image"].shape[1:]
        border = (0, self.size - width, 0, self.size - height)
        missing = self.most - len(sample["labels"])
        return (
            F.pad(sample["image"].as_subclass(Tensor), border),
            F.pad(sample["boxes"].as_subclass(Tensor), (0, 0, 0, missing)),
            F.pad(sample["labels"], (0, missing), value=-1),
        )


def from_files(args: Namespace, splits: list[list[Sample]], classes: list[str]) -> Splits:
    """Return the training, validation and test split of images in files."""
    train, val, test = splits
    size = args.image_size
    return (
        ImageFiles(train, size, classes, augmented=args.augment),
        ImageFiles(val, size, classes),
        ImageFiles(test, size, classes),
    )


def voc(args: Namespace) -> Splits:
    """Return Pascal VOC, 20 classes (Everingham et al. 2010).

    VOC2007's val images validate, its test images test; VOC2007's train and VOC2012's trainval
    images are to train.
    """
    train = [*load_voc(args, "2012", "trainval"), *load_voc(args, "2007", "train")]
    splits = [train, load_voc(args, "2007", "val"), load_voc(args, "2007", "test")]
    return from_files(args, splits, VOC_CLASSES)


def load_voc(args: Namespace, year: str, part: str) -> list[Sample]:
    """Return the samples of a part of Pascal VOC.

    Raises UserError if it is not in --data-dir and cannot be downloaded.
    """
    folder = args.data_dir / "VOCdevkit" / f"VOC{year}"
    present = (folder / "ImageSets" / "Main" / f"{part}.txt").exists()
    try:
        data = VOCDetection(args.data_dir, year, part, download=not present)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"--dataset voc is not in {args.data_dir} and cannot be downloaded: {error}"
        ) from None
    samples = []
    for image, annotation in zip(data.images, data.annotations, strict=True):
        boxes, labels = read_voc_objects(annotation, VOC_CLASSES)
        samples.append(make_sample(Path(image), boxes, labels))
    return samples


def coco(args: Namespace) -> Splits:
    """Return COCO 2017, 80 classes (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

    It is unpacked to `train2017` and so on. Its 5,000 validation images test, as those for its test
    have no public boxes; 5,000 of the training images validate.
    """
    files = []
    for part in ("train2017", "val2017"):
        path = args.data_dir / "annotations" / f"instances_{part}.json"
        files.append(CocoFile(path, args.data_dir / part, own=False))
    known = files[0].samples
    train, val, _ = split_list(known, val=5000 / len(known), test=0.0)
    return from_files(args, [train, val, files[1].samples], files[0].classes)


def coco_json(args: Namespace) -> Splits:
    """Return own images: DIR/train.json, val.json, test.json, or DIR/annotations.json, split 8:1:1.

    DIR is --data-dir; the images are in it or in DIR/images.
    """
    home = args.data_dir
    folders = (home / "images", home)
    if not (home / "train.json").exists():
        file = CocoFile(home / "annotations.json", *folders)
        return from_files(args, split_list(file.samples, val=0.1, test=0.1), file.classes)
    files = [CocoFile(home / f"{name}.json", *folders) for name in ("train", "val", "test")]
    if any(file.classes != files[0].classes for file in files):
        raise UserError(
            f"--data-dir {home}: train.json, val.json and test.json have different categories"
        )
    return from_files(args, [file.samples for file in files], files[0].classes)


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "shapes": shapes,
    "voc": voc,
    "coco": coco,
    "coco_json": coco_json,
}
