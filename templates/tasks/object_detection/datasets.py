"""The training, validation and test splits that --dataset chooses from: images with boxes and the boxes' classes.

A sample is (image, boxes, labels): (3, size, size) from 0 to 1, (most, 4) as x1, y1, x2, y2 in pixels, and (most,),
where `most` is the highest number of boxes in an image, and the label -1 fills up the others.
"""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.datasets import VOCDetection
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes

from loader import InMemory
from runtime import UserError

Splits = tuple[Any, Any, Any]  # train, val, test; the `info` of each names the classes
Sample = tuple[Path, Tensor, Tensor]  # an image's file, its boxes (n, 4) and their labels (n,)


def shapes(args: Namespace) -> Splits:
    """1,600 drawn images of 64 x 64 pixels with up to four ellipses, rectangles and triangles, split 10 : 3 : 3."""
    size, generator = 64, torch.Generator().manual_seed(0)  # the same images for every seed
    images, boxes, labels = draw_shapes(1600, size, generator)
    info = {"classes": ["ellipse", "rectangle", "triangle"], "image_size": size}
    train, val, test = zip(*(part.split([1000, 300, 300]) for part in (images, boxes, labels)), strict=True)
    varied = augment if args.augment else None
    return InMemory(*train, augment=varied, info=info), InMemory(*val, info=info), InMemory(*test, info=info)


def draw_shapes(number: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw images, and return them with their boxes and labels."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(number, *shape, generator=generator)

    images = uniform(0.0, 0.35, 3, 1, 1).expand(-1, -1, size, size)
    boxes, labels = torch.zeros(number, 4, 4), torch.full((number, 4), -1)
    wanted = uniform(0, 5).long()
    pixels = torch.arange(size) + 0.5
    for i in range(4):
        side, colour = uniform(10, 30, 2), uniform(0.35, 1.0, 3, 1, 1)
        corner = uniform(0, 1, 2) * (size - side)
        kind, upright = uniform(0, 3).long(), uniform(-1, 1, 1, 1).sign()
        box = torch.cat((corner, corner + side), dim=1)
        shared = torch.minimum(box[:, None, 2:], boxes[..., 2:]) - torch.maximum(box[:, None, :2], boxes[..., :2])
        hidden = shared.clamp(min=0).prod(dim=2) / (boxes[..., 2:] - boxes[..., :2]).prod(dim=2).clamp(min=1)
        fits = (i < wanted) & (hidden < 0.2).all(dim=1)  # every object stays mostly visible
        boxes[:, i], labels[:, i] = torch.where(fits[:, None], box, 0), torch.where(fits, kind, -1)

        u, v = ((pixels - corner[..., None]) / side[..., None] * 2 - 1).unbind(dim=1)  # -1 and 1 at the sides
        u, v = u[:, None, :].abs(), v[:, :, None] * upright
        ellipse, rectangle = 1 - (u**2 + v**2).sqrt(), 1 - torch.maximum(u, v.abs())
        triangle = torch.minimum((1 + v) / 2 - u, 1 - v)
        inside = torch.stack((ellipse, rectangle, triangle))[kind, torch.arange(number)]  # positive inside
        cover = (inside * side.amin(dim=1)[:, None, None] / 2 + 0.5).clamp(0, 1) * fits[:, None, None]
        images = images.lerp(colour, cover[:, None])
    noise = 0.04 * torch.randn(images.shape, generator=generator)
    return (images + noise).clamp(0, 1), boxes, labels


def augment(batch: list[Tensor], numbers: Tensor) -> list[Tensor]:
    """Mirror half of a batch's images from left to right, half from top to bottom, and vary their brightness."""
    images, boxes, labels = batch  # (batch, 3, size, size), (batch, most, 4), (batch, most)
    size = images.shape[3]
    x1, y1, x2, y2 = boxes.unbind(dim=2)
    flip, turn = numbers[:, 0] < 0.5, numbers[:, 1] < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    images = torch.where(turn[:, None, None, None], images.flip(2), images)
    x1, x2 = torch.where(flip[:, None], size - x2, x1), torch.where(flip[:, None], size - x1, x2)
    y1, y2 = torch.where(turn[:, None], size - y2, y1), torch.where(turn[:, None], size - y1, y2)
    brightness = 0.8 + 0.4 * numbers[:, 2, None, None, None]
    return [(images * brightness).clamp(max=1), torch.stack((x1, y1, x2, y2), dim=2), labels]


class ImageFiles(Dataset):
    """Images that are read from disk when they are needed, with their boxes; shrunk or enlarged to fill a square."""

    def __init__(self, args: Namespace, samples: list[Sample], classes: list[str], train: bool = False):
        self.samples, self.size = samples, args.image_size
        self.info = {"classes": classes, "image_size": args.image_size}
        self.most = max([1, *(len(labels) for _, _, labels in samples)])
        varied = [v2.RandomPhotometricDistort(), v2.RandomIoUCrop(), v2.RandomHorizontalFlip()]  # as SSD's authors do
        square = [v2.ToImage(), *(varied if train and args.augment else []), v2.Resize(None, max_size=self.size)]
        clean = [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()]  # no box that a crop has left outside
        self.transform = v2.Compose([*square, *clean, v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        path, boxes, labels = self.samples[index]
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, SyntaxError) as error:  # SyntaxError is how Pillow tells of a damaged PNG
            raise UserError(f"cannot read the image {path}: {error}") from None
        boxes = BoundingBoxes(boxes, format="XYXY", canvas_size=(image.height, image.width))
        sample = self.transform({"image": image, "boxes": boxes, "labels": labels})
        missing = self.most - len(sample["labels"])
        height, width = sample["image"].shape[1:]
        return (
            F.pad(sample["image"].as_subclass(Tensor), (0, self.size - width, 0, self.size - height)),
            F.pad(sample["boxes"].as_subclass(Tensor), (0, 0, 0, missing)),
            F.pad(sample["labels"], (0, missing), value=-1),
        )


def from_files(args: Namespace, parts: list[list[Sample]], classes: list[str]) -> Splits:
    """Return the three splits of images on disk."""
    train, val, test = parts
    return ImageFiles(args, train, classes, train=True), ImageFiles(args, val, classes), ImageFiles(args, test, classes)


def as_sample(path: Path, boxes: list[list[float]], labels: list[int]) -> Sample:
    """Return what is known of an image, also where it has no box."""
    return path, torch.tensor(boxes).view(-1, 4), torch.tensor(labels).long()


def shuffled(samples: list[Sample], *sizes: int) -> list[list[Sample]]:
    """Divide `samples` into parts of these sizes, always in the same way; the rest comes first."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    parts = order.split([len(samples) - sum(sizes), *sizes])
    return [[samples[i] for i in part.tolist()] for part in parts]


def voc(args: Namespace) -> Splits:
    """Pascal VOC, 20 classes: tests on VOC2007's test images, validates on its val images, trains on all others.

    Objects that are marked as difficult are left out (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4).
    """
    classes = ["aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"]
    classes += ["dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"]

    def read(year: str, part: str) -> list[Sample]:
        known = (args.data_dir / "VOCdevkit" / f"VOC{year}" / "ImageSets" / "Main" / f"{part}.txt").exists()
        try:
            data = VOCDetection(args.data_dir, year, part, download=not known)
        except (OSError, RuntimeError) as error:
            raise UserError(f"--dataset voc is not in {args.data_dir}, nor to be had: {error}") from None
        samples = []
        for image, annotation in zip(data.images, data.annotations, strict=True):
            boxes, labels = [], []
            for entry in ElementTree.parse(annotation).iter("object"):
                if entry.findtext("difficult") != "1":
                    sides = [float(entry.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
                    boxes.append([sides[0] - 1, sides[1] - 1, *sides[2:]])  # they count pixels from 1
                    labels.append(classes.index(entry.findtext("name", "")))
            samples.append(as_sample(Path(image), boxes, labels))
        return samples

    train = [*read("2012", "trainval"), *read("2007", "train")]
    return from_files(args, [train, read("2007", "val"), read("2007", "test")], classes)


def read_coco(file: Path, *folders: Path, own: bool = True) -> tuple[list[Sample], list[str]]:
    """Return the images and the classes of a COCO JSON file (https://cocodataset.org/#format-data), less its crowds.

    The images lie in one of `folders`. Files that are not `own`, but COCO's, hold boxes without an area, which are left
    out, and name more images than one would open beforehand.

    Raises:
        UserError: Says which entry of the file does not fit.
    """
    where = "its content"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        numbers = {identity: number for number, identity in enumerate(names)}
        images: dict[Any, tuple[Path, float, float]] = {}
        boxes: dict[Any, list[list[float]]] = {}
        labels: dict[Any, list[int]] = {}
        for i, entry in enumerate(content["images"]):
            where = f"images[{i}]"
            path = next((path for folder in folders if (path := folder / entry["file_name"]).exists()), None)
            if path is None:
                raise UserError(f"{file}, {where}: there is no image {folders[0] / entry['file_name']}")
            size = (entry["width"], entry["height"])
            if own:
                with Image.open(path) as image:
                    size = image.size
            images[entry["id"]], boxes[entry["id"]], labels[entry["id"]] = (path, *size), [], []
        for i, entry in enumerate(content["annotations"]):
            where = f"annotations[{i}]"
            if entry.get("iscrowd"):
                continue
            if entry["image_id"] not in images or entry["category_id"] not in numbers:
                key = "category" if entry["image_id"] in images else "image"
                raise UserError(f"{file}, {where}: no {key} has the id {entry[f'{key}_id']!r}")
            path, width, height = images[entry["image_id"]]
            left, top, right, bottom = (float(number) for number in entry["bbox"])
            right, bottom = left + right, top + bottom  # they were the width and height of the box
            inside = -1 <= left < right <= width + 1 and -1 <= top < bottom <= height + 1  # rounding is forgiven
            box = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
            if own and not inside:
                raise UserError(f"{file}, {where}: the box {entry['bbox']} is not inside of {path}, {width} x {height}")
            if box[0] < box[2] and box[1] < box[3]:
                boxes[entry["image_id"]].append(box)
                labels[entry["image_id"]].append(numbers[entry["category_id"]])
    except OSError as error:
        raise UserError(f"cannot read {error.filename or f'{file}, {where}'}: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{file}, {where}: not in COCO's format: {type(error).__name__} {error}") from None
    samples = [as_sample(path, boxes[key], labels[key]) for key, (path, _, _) in images.items()]
    return samples, list(names.values())


def coco(args: Namespace) -> Splits:
    """COCO 2017, 80 classes (Lin et al. 2014, https://arxiv.org/abs/1405.0312), unpacked to `train2017` and so on.

    Its 5,000 validation images are to test, as those that are called test have no public boxes; 5,000 of the training
    images are to validate.
    """
    (known, classes), (test, _) = (
        read_coco(args.data_dir / f"annotations/instances_{part}.json", args.data_dir / part, own=False)
        for part in ("train2017", "val2017")
    )
    return from_files(args, [*shuffled(known, 5000), test], classes)


def coco_json(args: Namespace) -> Splits:
    """Own images, with DIR/train.json, val.json and test.json, or with DIR/annotations.json to be split 8:1:1."""
    home = args.data_dir
    names = ["train", "val", "test"] if (home / "train.json").exists() else ["annotations"]
    files = [read_coco(home / f"{name}.json", home / "images", home) for name in names]
    if any(classes != files[0][1] for _, classes in files):
        raise UserError(f"--data-dir {home}: train.json, val.json and test.json do not have the same categories")
    parts = [samples for samples, _ in files]
    tenth = len(parts[0]) // 10
    return from_files(args, shuffled(parts[0], tenth, tenth) if len(parts) == 1 else parts, files[0][1])


DATASETS: dict[str, Callable[[Namespace], Splits]] = {
    "shapes": shapes,
    "voc": voc,
    "coco": coco,
    "coco_json": coco_json,
}
