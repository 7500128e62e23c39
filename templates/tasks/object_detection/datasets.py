"""The training, validation and test splits: images with boxes and the classes of the boxes.

A sample is (image, boxes, labels): (3, size, size) from 0 to 1, (most, 4) as x1, y1, x2, y2 in
pixels, and (most,). `most` is the highest number of boxes in an image; the label -1 fills up.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes

from .engine.boxes import Sample
from .engine.coco import find_coco_splits, load_coco
from .engine.errors import refuse_unused
from .engine.loader import InMemory
from .engine.shapes import CLASSES, draw_shapes
from .engine.voc import find_voc_splits, load_voc
from .engine.yolo import find_yolo_splits

Splits = tuple[Any, Any, Any]  # train, val, test; `info` of each describes the images
VOC_CLASSES = DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"][1:]  # without background


def shapes(args: Namespace) -> Splits:
    """Return 1,600 drawn images of 64 x 64 pixels with up to four shapes, split 1000:300:300."""
    refuse_unused(args, "data_dir", "image_size", dataset="shapes")
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


class ToSquare:
    """Fits images and their boxes into squares, with black at the right and at the bottom."""

    def __init__(self, size: int, augmented: bool = False):
        self.size = size
        transforms = [v2.ToImage()]
        if augmented:
            # Half of the images are cropped, and keep the boxes whose centers are in the crop, as
            # in SSD (Liu et al. 2016, https://arxiv.org/abs/1512.02325).
            transforms.append(v2.RandomIoUCrop(min_scale=0.6, sampler_options=[0.0, 1.0]))
            transforms.append(v2.RandomHorizontalFlip())
        transforms.append(v2.Resize(None, max_size=size))
        transforms.append(v2.ClampBoundingBoxes())
        transforms.append(v2.SanitizeBoundingBoxes())  # no box that a crop has left outside
        transforms.append(v2.ToDtype(torch.float32, scale=True))
        self.transform = v2.Compose(transforms)

    def __call__(
        self, image: Image, boxes: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
        """Return the square image, (3, size, size), the boxes, (n, 4), and their labels, (n,).

        The fourth value is the height and width that the image had before it was padded.
        """
        boxes = BoundingBoxes(boxes, format="XYXY", canvas_size=(image.height, image.width))
        sample = self.transform({"image": image, "boxes": boxes, "labels": labels})
        height, width = sample["image"].shape[1:]
        border = (0, self.size - width, 0, self.size - height)
        square = F.pad(sample["image"].as_subclass(Tensor), border)
        return square, sample["boxes"].as_subclass(Tensor), sample["labels"], (height, width)


def fill_up(boxes: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return boxes (most, 4) and labels (most,), so that a batch of images has as many of each."""
    missing = most - len(labels)
    return F.pad(boxes, (0, 0, 0, missing)), F.pad(labels, (0, missing), value=-1)


class ImageFiles(Dataset):
    """Images that are read when they are needed, with their boxes, fitted into a square."""

    def __init__(
        self, samples: list[Sample], size: int, info: dict[str, Any], augmented: bool = False
    ):
        self.samples = samples
        self.names = [sample.name for sample in samples]
        self.info = {**info, "image_size": size}
        self.most = get_most(samples)
        self.transform = ToSquare(size, augmented)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        image, boxes = self.samples[index].read()
        square, boxes, labels, _ = self.transform(image, boxes, self.samples[index].labels)
        return square, *fill_up(boxes, labels, self.most)


def get_most(samples: list[Sample]) -> int:
    """Return the highest number of boxes in an image, at least one."""
    return max([1, *(len(sample.labels) for sample in samples)])


def from_files(args: Namespace, splits: list[list[Sample]], info: dict[str, Any]) -> Splits:
    """Return the training, validation and test split of images in files."""
    train, val, test = splits
    size = args.image_size
    return (
        ImageFiles(train, size, info, augmented=args.augment),
        ImageFiles(val, size, info),
        ImageFiles(test, size, info),
    )


def voc(args: Namespace) -> Splits:
    """Return Pascal VOC 2007 and 2012, 20 classes (Everingham et al. 2010)."""
    return from_files(args, *load_voc(args.data_dir, VOC_CLASSES))


def coco(args: Namespace) -> Splits:
    """Return COCO 2017, 80 classes (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

    It is unpacked to `annotations`, `train2017` and `val2017` in --data-dir.
    """
    return from_files(args, *load_coco(args.data_dir))


def own_files(
    find: Callable[[Path], tuple[list[list[Sample]], dict[str, Any]]], args: Namespace
) -> Splits:
    """Return own images in --data-dir, whose boxes are in files of one of three formats."""
    return from_files(args, *find(args.data_dir))


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "shapes": shapes,
    "voc": voc,
    "coco": coco,
    "coco_json": partial(own_files, find_coco_splits),
    "yolo": partial(own_files, find_yolo_splits),
    "voc_xml": partial(own_files, find_voc_splits),
}
