"""Predictions for new images: the objects in each, with their boxes and scores."""

import json
import sys
from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from .datasets import ToSquare, fill_up, get_most
from .engine.boxes import Sample
from .engine.coco import CocoLabels, Entry
from .engine.images import SUFFIXES, read_image
from .engine.input_files import FileInputs, find_files
from .engine.listing import describe_left_out
from .engine.options import number
from .engine.output_files import name_outputs, write_image
from .engine.prediction import describe_metrics, find_output, writing_text
from .engine.runtime import Runtime
from .engine.terminal import say
from .plots import COLORS
from .utils import get_metrics, stack_detections

WRITERS = 4  # threads, each of which holds an image
SMALLEST = 400  # pixels of the longer side of a drawn image, so that its words can be read


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="image, folder of images, or pattern")
    help = "COCO file with the true boxes, to measure the predictions, and with the ids to use"
    add("--labels", type=Path, metavar="JSON", help=help)
    help = "lowest score of the boxes that are drawn; predictions.json has all"
    add("--threshold", type=number(float), default=0.3, help=help)


class Inputs(FileInputs):
    """Images, prepared like those of validation; `samples` are None if there are no true boxes."""

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.paths = find_files(args, args.inputs, SUFFIXES)
        super().__init__(args, runtime, info, [str(path) for path in self.paths])
        self.transform = ToSquare(info["image_size"])
        self.image_ids: list[Any] = list(range(1, len(self.paths) + 1))
        self.category_ids: list[Any] = list(range(1, len(info["classes"]) + 1))
        self.samples: list[Sample] | None = None
        self.most = 1
        if args.labels is not None:
            self.read_labels(args)

    def read_labels(self, args: Namespace) -> None:
        """Take over the true boxes and the ids of --labels."""
        file = CocoLabels(args.labels, self.paths)
        self.samples = file.get_boxes(self.info["classes"], args.run, self.paths)
        self.most = get_most(self.samples)
        self.image_ids = [file.image_ids[path] for path in self.paths]
        self.category_ids = [file.category_ids[name] for name in self.info["classes"]]
        for note in describe_left_out(file.left_out):
            say(f"{args.labels}: {note}", sys.stderr)

    def read(self, index: int) -> dict[str, Tensor]:
        """Return a square image for the model, its scale, and its true boxes if there are some."""
        boxes = torch.zeros(0, 4)
        labels = torch.zeros(0, dtype=torch.int64)
        if self.samples is None:
            image = read_image(self.paths[index])
        else:
            image, boxes = self.samples[index].read()
            labels = self.samples[index].labels
        square, boxes, labels, (height, width) = self.transform(image, boxes, labels)
        scale = torch.tensor([image.width / width, image.height / height])
        sample = {"image": square, "scale": scale}
        if self.samples is not None:
            sample["boxes"], sample["labels"] = fill_up(boxes, labels, self.most)
        return sample


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Any) -> dict[str, Tensor]:
    """Return what was detected, x1, y1, x2, y2, score and label: (batch, 100, 6) with -1 for none.

    "found" counts in pixels of the squares, as "targets" do, and "objects" in those of the images.
    """
    with runtime.autocast():
        _, detections = model(batch["image"])
    found = stack_detections(detections)
    scale = batch["scale"].repeat(1, 2)[:, None]  # of x, y, x and y: (batch, 1, 4)
    objects = torch.cat((found[..., :4] * scale, found[..., 4:]), dim=2)
    predictions = {"found": found, "objects": objects}
    if "labels" in batch:
        predictions["targets"] = torch.cat((batch["boxes"], batch["labels"][..., None]), dim=2)
    return predictions


class Output(ExitStack):
    """A folder with predictions.json and drawn/*.jpg; if there are true boxes, metrics as well."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        super().__init__()
        self.args = args
        self.inputs = inputs
        self.folder = find_output(args, "predictions")
        self.names = name_outputs(inputs.paths)
        self.images = 0
        self.objects = 0
        self.metrics: Any = None
        if inputs.samples is not None:
            self.metrics = get_metrics(args, runtime, inputs.info)
        self.file = self.enter_context(writing_text(self.folder / "predictions.json"))
        self.file.write("[")
        self.callback(self.file.write, "\n]\n")
        self.pool = self.enter_context(ThreadPoolExecutor(WRITERS))

    def add(self, indices: list[int], predictions: dict[str, Tensor]) -> None:
        """Write the objects in a batch; `indices` are those of its images among the inputs."""
        if self.metrics is not None:
            self.metrics.update(predictions["found"], predictions["targets"])
        objects = predictions["objects"].tolist()
        entries = list(map(self.make_entries, indices, objects))
        list(self.pool.map(self.draw, indices, entries))  # raises what they raise
        for found in entries:
            for entry in found:
                self.file.write(",\n" if self.objects else "\n")
                self.file.write(json.dumps(entry, ensure_ascii=False))
                self.objects += 1
        self.images += len(indices)

    def make_entries(self, index: int, objects: list[list[float]]) -> list[Entry]:
        """Return the objects in an image in COCO's format for results, the best first."""
        entries = []
        for x1, y1, x2, y2, score, label in objects:
            if label < 0:
                continue
            sides = (x1, y1, x2 - x1, y2 - y1)
            entry = {
                "image_id": self.inputs.image_ids[index],
                "file_name": self.inputs.paths[index].as_posix(),
                "category_id": self.inputs.category_ids[int(label)],
                "category": self.inputs.info["classes"][int(label)],
                "bbox": [float(f"{value:.7g}") for value in sides],  # digits of float32
                "score": float(f"{score:.7g}"),
            }
            entries.append(entry)
        return entries

    def draw(self, index: int, entries: list[Entry]) -> None:
        """Write an image with the boxes in it that have a score of --threshold or more."""
        image = read_image(self.inputs.paths[index])
        chosen = [entry for entry in entries if entry["score"] >= self.args.threshold]
        image = draw_boxes(image, chosen, self.inputs.info["classes"])
        name = self.names[index]
        write_image(image, self.folder / "drawn" / name.with_name(f"{name.name}.jpg"))

    def summary(self) -> str:
        """Return what was written, and the metrics."""
        places = f"{self.folder / 'predictions.json'}, {self.folder / 'drawn'}"
        text = f"{self.objects:,} objects in {self.images:,} images: {places}"
        return text if self.metrics is None else f"{text}; {describe_metrics(self.metrics)}"


def draw_boxes(image: Image.Image, entries: list[Entry], classes: list[str]) -> Image.Image:
    """Return an image with boxes, classes and scores, the best last, on top.

    A small image is enlarged by a whole factor.
    """
    import matplotlib
    from matplotlib.colors import to_hex

    factor = max(1, -(-SMALLEST // max(image.size)))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    line = max(2, max(image.size) // 400)
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(str(path), max(12, max(image.size) // 50))
    canvas = ImageDraw.Draw(image)
    for entry in reversed(entries):
        color = to_hex(COLORS[classes.index(entry["category"]) % len(COLORS)])
        left, top, width, height = (factor * side for side in entry["bbox"])
        canvas.rectangle((left, top, left + width, top + height), outline=color, width=line)
        text = f"{entry['category']} {entry['score']:.2f}"
        corner = (max(left, 0), max(top - font.size - 2 * line, 0))
        canvas.rectangle(canvas.textbbox(corner, text, font=font), fill=color)
        canvas.text(corner, text, fill="black", font=font)
    return image
