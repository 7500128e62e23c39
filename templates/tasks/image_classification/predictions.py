"""Predictions for new images: the class of each, and the probability of every class."""

from argparse import ArgumentParser, Namespace
from typing import Any

import torch
from torch import Tensor, nn

from .datasets import get_transform
from .engine.images import SUFFIXES, read_image
from .engine.input_files import FileInputs, find_files
from .engine.labelled_images import compose
from .engine.prediction import describe_metrics, find_output
from .engine.result_table import FEW_INPUTS, ResultTable, as_cells
from .engine.runtime import Runtime
from .utils import get_metrics


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    help = "image, folder of images, or pattern; folders with the names of classes are labels"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=help)


class Inputs(FileInputs):
    """Images, prepared like those of validation; `labels` are None unless all folders name one."""

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.paths = find_files(args, args.inputs, SUFFIXES)
        super().__init__(args, runtime, info, [str(path) for path in self.paths])
        self.transform = get_transform(info)
        folders = [compose(path.absolute().parent.name) for path in self.paths]
        self.labels: Tensor | None = None  # (images,)
        if set(folders) <= set(info["classes"]):
            numbers = {name: number for number, name in enumerate(info["classes"])}
            self.labels = torch.tensor([numbers[name] for name in folders])

    def read(self, index: int) -> Tensor:
        """Return an image for the model, (channels, height, width)."""
        return self.transform(read_image(self.paths[index], self.info["image_size"]))


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, images: Tensor) -> Tensor:
    """Return the probabilities of the classes, (batch, classes)."""
    with runtime.autocast():
        logits = model(images)
    return logits.float().softmax(dim=1)


class Output(ResultTable):
    """A table with a row for each image; if there are labels, metrics as well."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        self.inputs = inputs
        self.classes = inputs.info["classes"]
        self.metrics: Any = None
        columns = ["file", "class", "probability"]
        if inputs.labels is not None:
            columns.append("label")
            self.metrics = get_metrics(args, runtime, inputs.info)
        columns += [f"p_{name}" for name in self.classes]
        printed = 3 if len(inputs) <= FEW_INPUTS else 0
        super().__init__(find_output(args, "predictions.csv"), columns, printed)

    def add(self, indices: list[int], probabilities: Tensor) -> None:
        """Write the rows of a batch; `indices` are those of its images among the inputs."""
        best = probabilities.argmax(dim=1).tolist()
        for index, number, cells in zip(indices, best, as_cells(probabilities), strict=True):
            row = [self.inputs.names[index], self.classes[number], cells[number]]
            if self.inputs.labels is not None:
                row.append(self.classes[self.inputs.labels[index]])
            self.add_row(row + cells)
        if self.inputs.labels is not None:
            self.metrics.update(probabilities, self.inputs.labels[indices].to(probabilities.device))

    def summary(self) -> str:
        """Return what was written, and the metrics."""
        text = f"{self.rows:,} predictions: {self.path}"
        return text if self.metrics is None else f"{text}; {describe_metrics(self.metrics)}"
