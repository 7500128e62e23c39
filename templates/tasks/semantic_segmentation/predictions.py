"""Predictions for new images: the class of each pixel, as a mask in the size of the image."""

from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from .datasets import ToSquare
from .engine.annotations import MaskFinder, check_size
from .engine.errors import UserError
from .engine.images import SUFFIXES, read_image
from .engine.input_files import FileInputs, find_files
from .engine.masks import IGNORED, MaskReader
from .engine.output_files import name_outputs, write_image
from .engine.prediction import describe_metrics, find_output
from .engine.runtime import Runtime
from .plots import get_colors
from .utils import get_metrics

WRITERS = 4  # threads, each of which holds an image and its mask


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    help = "image, folder of images, or pattern; masks/ beside images/ are labels"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=help)
    help = "folder of true masks, to measure the predictions"
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help=help)


class Inputs(FileInputs):
    """Images, prepared like those of validation; `masks` are None if there are no true ones."""

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        finder = MaskFinder(args.masks)
        found = find_files(args, args.inputs, SUFFIXES)
        self.paths = [path for path in found if not finder.is_mask(path)]
        if not self.paths:
            raise UserError(f"{found[0]} is a mask: images are needed")
        super().__init__(args, runtime, info, [str(path) for path in self.paths])
        self.masks = finder.find_all(self.paths)
        mask_format = info.get("mask_format", {"colors": {}, "ignored": IGNORED})
        self.reader = MaskReader(info["classes"], **mask_format)
        self.transform = ToSquare(info)

    def read(self, index: int) -> dict[str, Any]:
        """Return a square image for the model, its labels if there are some, and its sizes."""
        image = read_image(self.paths[index])
        mask = Image.new("L", image.size)
        if self.masks is not None:
            mask = self.reader.read(self.masks[index])
            check_size(self.masks[index], mask.size, image.size)
        square, labels, inner = self.transform(image, mask)
        sample = {"image": square, "sizes": torch.tensor([*inner, image.height, image.width])}
        return sample if self.masks is None else {**sample, "labels": labels}


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Any) -> dict[str, Any]:
    """Return the classes in the squares, and those of each image in its own size."""
    with runtime.autocast():
        logits = model(batch["image"])  # (batch, classes, size, size)
    masks = []
    for square, sizes in zip(logits, batch["sizes"].tolist(), strict=True):
        inner_height, inner_width, height, width = sizes
        inner = square[:, :inner_height, :inner_width]  # without the padding
        masks.append(choose_classes(inner, (height, width)).cpu())
    return {"squares": logits.argmax(dim=1), "labels": batch.get("labels"), "masks": masks}


def choose_classes(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the best class of each pixel, uint8 (height, width), in another size than the logits.

    The logits, (classes, height, width), are resized and compared class by class, as those of all
    classes in the size of a photograph may take gigabytes.
    """
    best = logits.new_full(size, -torch.inf, dtype=torch.float32)
    labels = torch.zeros_like(best, dtype=torch.uint8)
    for label, coarse in enumerate(logits.float()):
        fine = F.interpolate(coarse[None, None], size, mode="bilinear")[0, 0]
        labels.masked_fill_(fine > best, label)
        best = torch.maximum(best, fine)
    return labels


class Output(ExitStack):
    """A folder with masks/*.png and overlays/*.jpg; if there are true masks, metrics as well."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        super().__init__()
        self.inputs = inputs
        self.folder = find_output(args, "predictions")
        self.names = name_outputs(inputs.paths)
        self.palette = get_palette(inputs.info)
        self.written = 0
        self.metrics: Any = None
        if inputs.masks is not None:
            self.metrics = get_metrics(args, runtime, inputs.info)
        self.pool = self.enter_context(ThreadPoolExecutor(WRITERS))

    def add(self, indices: list[int], predictions: dict[str, Any]) -> None:
        """Write the files of a batch; `indices` are those of its images among the inputs."""
        if self.metrics is not None:
            self.metrics.update(predictions["squares"], predictions["labels"])
        list(self.pool.map(self.write, indices, predictions["masks"]))  # raises what they raise
        self.written += len(indices)

    def write(self, index: int, mask: Tensor) -> None:
        """Write the mask of an image, and the image below the colors of the mask."""
        labels = Image.fromarray(mask.numpy())
        labels.putpalette(self.palette)
        image = read_image(self.inputs.paths[index])
        overlay = Image.blend(image, labels.convert("RGB"), 0.5)
        name = self.names[index]
        write_image(labels, self.folder / "masks" / name.with_name(f"{name.name}.png"))
        write_image(overlay, self.folder / "overlays" / name.with_name(f"{name.name}.jpg"))

    def summary(self) -> str:
        """Return what was written, and the metrics."""
        text = f"{self.written:,} masks: {self.folder / 'masks'}, {self.folder / 'overlays'}"
        return text if self.metrics is None else f"{text}; {describe_metrics(self.metrics)}"


def get_palette(info: dict[str, Any]) -> list[int]:
    """Return red, green and blue of all labels in turn: those of the data, or of the figures."""
    colors = (255 * get_colors(len(info["classes"]))).round().int()[:-1].tolist()
    for code, label in info.get("mask_format", {}).get("colors", {}).items():
        if label != IGNORED:
            colors[label] = [code >> 16, code >> 8 & 255, code & 255]
    return numpy.array(colors).flatten().tolist()
