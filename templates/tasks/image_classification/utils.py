# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .datasets import DATASETS
from .engine.classes import get_class_weights
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
    add("--model", choices=MODELS, default="cnn", help="model to train")
    add("--dataset", choices=DATASETS, default="digits", help="data set to train on")
    help = "directory of the data set; an image_folder holds SPLIT/CLASS/*, or CLASS/* to divide"
    add("--data-dir", type=Path, default="data", help=help)
    help = "pixels of the sides of the squares that are cut out of the images in an image_folder"
    add("--image-size", type=number(int, 8, 10_001), default=64, help=help)
    add("--augment", action=switch, default=True, help="augment the training images at random")
    help = "start from torchvision's ImageNet weights, which are downloaded"
    add("--pretrained", action=switch, default=False, help=help)
    help = "label smoothing of the training loss"
    add("--label-smoothing", type=number(float, below=1), default=0.1, help=help)
    help = "weights of the classes in the loss; balanced: inverse to their training samples"
    add("--class-weights", choices=("none", "balanced"), default="none", help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor.

    Raises UserError if --pretrained is impossible.
    """
    arguments = {
        "channels": info["channels"],
        "image_size": info["image_size"],
        "num_classes": len(info["classes"]),
    }
    if args.pretrained:
        if args.model not in PRETRAINED or info["channels"] != 3:
            names = ", ".join(PRETRAINED)
            raise UserError(f"--pretrained needs images in colour and one of the models {names}")
        arguments["imagenet"] = True
    return arguments


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy with label smoothing, in which --class-weights weigh the samples.

    Szegedy et al. 2016, https://arxiv.org/abs/1512.00567
    """
    weights = get_class_weights(args, info)  # (classes,), or None

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        images, labels = batch  # (batch, channels, height, width), (batch,)
        logits = model(images)  # (batch, classes)
        smoothing = args.label_smoothing if model.training else 0.0
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        if weights is not None:
            losses = losses * weights.to(labels.device, non_blocking=True)[labels]
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {
            "loss": losses.mean(),
            "accuracy": accuracy,
            "predictions": logits,
            "targets": labels,
        }

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation, and the confusion matrix for its figure.

    `macro_f1` is the mean over classes of F1, without those that neither occur nor are predicted.
    """
    from torchmetrics import Accuracy, ConfusionMatrix, F1Score, MetricCollection

    classes = len(info["classes"])
    options: Any = {"task": "multiclass", "num_classes": classes, "validate_args": False}
    metrics: dict[str, Any] = {
        "accuracy": Accuracy(**options, average="micro"),
        "macro_f1": F1Score(**options, average="macro"),
        "confusion_matrix": ConfusionMatrix(**options),
    }
    return MetricCollection(metrics).to(runtime.device)
