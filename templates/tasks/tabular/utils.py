# {% if false %}
from argparse import ArgumentParser, Namespace
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
from .models import MODELS

if TYPE_CHECKING:
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


# {% endif %}
def add_task_options(parser: ArgumentParser) -> None:
    """Add the options of the model, the data and the loss."""
    add = parser.add_argument_group("task").add_argument
    add("--model", choices=MODELS, default="mlp", help="model to train")
    add("--dataset", choices=DATASETS, default="diabetes", help="data set to train on")
    help = "table of --dataset csv: a CSV, TSV or Parquet file, or a directory of one or of splits"
    add("--data-dir", type=Path, metavar="PATH", help=help)
    help = "column of the table that is predicted; all others are inputs"
    add("--target", metavar="COLUMN", help=help)
    help = "whether the target is a number or a class; auto: text, 0 and 1, or few whole numbers"
    add("--target-kind", choices=("auto", "number", "class"), default="auto", help=help)
    help = "what columns hold, where it is not found out: NAME=number, NAME=category, NAME=drop"
    add("--columns", default="", metavar="NAME=KIND,...", help=help)
    help = "column whose rows of equal text stay in one split, such as a patient's"
    add("--group-column", metavar="COLUMN", help=help)
    help = "weights of the classes in the loss; balanced: inverse to their training samples"
    add("--class-weights", choices=("none", "balanced"), default="none", help=help)
    help = "share of the features that are dropped in training (dropout)"
    add("--dropout", type=number(float, below=1), default=0.1, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    return {
        "numbers": len(info["numbers"]) + len(info["marked"]),
        "categories": [1 + len(known) for known in info["categories"].values()],  # 0 is unknown
        "outputs": len(info["classes"]) if "classes" in info else 1,
        "dropout": args.dropout,
    }


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the mean squared error of the standardized target, or that of classes."""
    if "classes" in info:
        return get_class_objective(args, info)
    if args.class_weights != "none":
        raise UserError(f"--class-weights {args.class_weights}: {info['target']} is a number")

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        numbers, categories, targets = batch  # (batch, numbers), (batch, categories), (batch,)
        predictions = model(numbers, categories).squeeze(1).float()  # (batch,)
        loss = F.mse_loss(predictions, targets)
        if model.training:
            return {"loss": loss}
        return {"loss": loss, "predictions": predictions, "targets": targets}

    return objective


def get_class_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy, in which --class-weights weigh the samples."""
    weights = get_class_weights(args, info)  # (classes,)

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        numbers, categories, labels = batch  # (batch, numbers), (batch, categories), (batch,)
        logits = model(numbers, categories).float()  # (batch, classes)
        losses = F.cross_entropy(logits, labels, reduction="none")
        if weights is not None:
            losses = losses * weights.to(labels.device, non_blocking=True)[labels]
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        output = {"loss": losses.mean(), "accuracy": accuracy}
        if model.training:
            return output
        return {**output, "predictions": logits.softmax(dim=1), "targets": labels}

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation.

    For numbers R2, and the errors MAE and RMSE in the target's unit; for classes accuracy, the mean
    over classes of F1 and of AUROC, and the confusion matrix for its figure.
    """
    from torchmetrics import MetricCollection

    from .engine.metrics import class_metrics, number_metrics

    if "classes" in info:
        metrics = class_metrics(len(info["classes"]))
    else:
        metrics = number_metrics(info["deviation"])
    return MetricCollection(metrics).to(runtime.device)
