# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .datasets import DATASETS, IGNORED
from .engine.errors import UserError
from .engine.options import number
from .engine.runtime import Runtime
from .models import MODELS, PRETRAINED

if TYPE_CHECKING:
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


# {% endif %}
def add_task_options(parser: ArgumentParser) -> None:
    """Add the options of the model and the data."""
    add = parser.add_argument_group("task").add_argument
    switch = BooleanOptionalAction
    add("--model", choices=MODELS, default="unet", help="model to train")
    add("--dataset", choices=DATASETS, default="shapes", help="data set to train on")
    help = "directory of the data set; a mask_folder holds images/, masks/ and classes.txt"
    add("--data-dir", type=Path, default="data", help=help)
    help = "pixels of the sides of the squares that images from files are fitted into"
    add("--image-size", type=number(int, 16, 10_001), default=256, help=help)
    help = "value in the masks of a mask_folder whose pixels are ignored"
    add("--ignore-index", type=number(int, 0, 65_536), default=255, help=help)
    help = "augment the training images and their masks at random"
    add("--augment", action=switch, default=True, help=help)
    help = "start from torchvision's weights for COCO, which are downloaded"
    add("--pretrained", action=switch, default=False, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor.

    Raises UserError if --pretrained is impossible.
    """
    if args.pretrained and args.model not in PRETRAINED:
        raise UserError(f"--pretrained needs one of these models: {', '.join(PRETRAINED)}")
    return {"channels": info["channels"], "num_classes": len(info["classes"])}


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy: a mean over the pixels of a sample that count, then over samples."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        images, masks = batch  # (batch, channels, height, width), (batch, height, width)
        logits = model(images)  # (batch, classes, height, width)
        rows = logits.permute(0, 2, 3, 1).flatten(0, 2)  # by pixel: deterministic on a GPU, too
        losses = F.cross_entropy(rows, masks.flatten(), ignore_index=IGNORED, reduction="none")
        counted = masks != IGNORED
        pixels = counted.sum(dim=(1, 2)).clamp(min=1)  # a sample may have none that counts
        loss = (losses.view_as(masks).sum(dim=(1, 2)) / pixels).mean()

        predictions = logits.argmax(dim=1)  # (batch, height, width)
        right = ((predictions == masks) & counted).sum()
        total = counted.sum()
        output = {"loss": loss, "pixel_accuracy": (right / total.clamp(min=1), total)}
        if not model.training:
            output["predictions"] = predictions
            output["targets"] = masks
        return output

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation, over the pixels of all samples together.

    `mean_iou` is the mean over classes of intersection over union (Everingham et al. 2010, section
    4.1.3 of https://doi.org/10.1007/s11263-009-0275-4), `class_iou` that of each class.
    """
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    classes = len(info["classes"])
    options: dict[str, Any] = {"ignore_index": IGNORED, "validate_args": False}
    metrics = MetricCollection(
        {
            "mean_iou": MulticlassJaccardIndex(classes, average="macro", **options),
            "pixel_accuracy": MulticlassAccuracy(classes, average="micro", **options),
            "class_iou": MulticlassJaccardIndex(classes, average="none", **options),
        }
    )
    return metrics.to(runtime.device)
