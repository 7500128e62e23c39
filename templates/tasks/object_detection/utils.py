# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .datasets import DATASETS
from .engine.errors import UserError
from .engine.options import number
from .engine.runtime import Runtime
from .models import MODELS, PRETRAINED

if TYPE_CHECKING:
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


# {% endif %}
def add_task_options(parser: ArgumentParser) -> None:
    """Add the options of the model, the data and the loss."""
    add = parser.add_argument_group("task").add_argument
    switch = BooleanOptionalAction
    add("--model", choices=MODELS, default="centernet", help="model to train")
    add("--dataset", choices=DATASETS, default="shapes", help="data set to train on")
    help = "directory of the data set; coco_json, yolo and voc_xml are formats of own boxes"
    add("--data-dir", type=Path, default="data", help=help)
    help = "pixels of the sides of the squares that images from files are fitted into"
    add("--image-size", type=number(int, 32, 10_001), default=320, help=help)
    add("--augment", action=switch, default=True, help="augment the training images at random")
    help = "start from torchvision's ImageNet weights in the backbone, which are downloaded"
    add("--pretrained", action=switch, default=False, help=help)
    help = "weight of the box loss beside the class loss"
    add("--box-weight", type=number(float), default=1.0, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor.

    Raises UserError if --pretrained is impossible.
    """
    arguments = {"image_size": info["image_size"], "num_classes": len(info["classes"])}
    if args.pretrained:
        if args.model not in PRETRAINED:
            raise UserError(f"--pretrained needs one of these models: {', '.join(PRETRAINED)}")
        arguments["imagenet"] = True
    return arguments


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the detector's own loss: that of the classes, and that of the boxes."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        images, boxes, labels = batch  # (batch, 3, height, width), (batch, most, 4), (batch, most)
        losses, detections = model(images, boxes, labels)  # in training without detections
        per_image = losses["class"] + args.box_weight * losses["box"]  # (batch,)
        output = {
            "loss": per_image.mean(),
            "class_loss": losses["class"].mean(),
            "box_loss": losses["box"].mean(),
        }
        if not model.training:
            output["predictions"] = stack_detections(detections)
            output["targets"] = torch.cat((boxes, labels[..., None]), dim=2)
        return output

    return objective


def stack_detections(detections: list[dict[str, Tensor]]) -> Tensor:
    """Return x1, y1, x2, y2, score and label of up to 100 boxes of each image, (batch, 100, 6).

    Rows of -1 fill up.
    """
    stacked = []
    for found in detections:
        rows = torch.cat(
            (found["boxes"], found["scores"][:, None], found["labels"][:, None]), dim=1
        )[:100]
        stacked.append(F.pad(rows, (0, 0, 0, 100 - len(rows)), value=-1))
    return torch.stack(stacked)


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation: average precision at IoUs of 0.5 to 0.95, and at 0.5."""
    from torchmetrics import MetricCollection

    from .engine.metrics import AveragePrecision

    metrics = MetricCollection({"map": AveragePrecision(), "map50": AveragePrecision([0.5])})
    return metrics.to(runtime.device)
