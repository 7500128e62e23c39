# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .datasets import DATASETS
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
    add("--model", choices=MODELS, default="transformer", help="model to train")
    add("--dataset", choices=DATASETS, default="docstrings", help="data set to train on")
    help = "directory of data sets that are not built in"
    add("--data-dir", type=Path, default="data", help=help)
    help = "column of the texts in own files: its name, or its number if there is no header"
    add("--text-column", default="text", help=help)
    help = "column of the classes in own files: its name, or its number if there is no header"
    add("--label-column", default="label", help=help)
    help = "number of words that are read of a text; the rest is cut off"
    add("--max-length", type=number(int, 1), default=64, help=help)
    help = "hide a fifth of the words of the training texts at random"
    add("--augment", action=BooleanOptionalAction, default=True, help=help)
    help = "label smoothing of the training loss"
    add("--label-smoothing", type=number(float, below=1), default=0.1, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    return {
        "vocabulary_size": len(info["vocabulary"]),
        "length": info["length"],
        "num_classes": len(info["classes"]),
        "padding": info["padding"],
    }


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy with label smoothing.

    Szegedy et al. 2016, https://arxiv.org/abs/1512.00567.
    """

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        tokens, labels = batch  # (batch, length), (batch,)
        logits = model(tokens)  # (batch, classes)
        smoothing = args.label_smoothing if model.training else 0.0
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        output = {"loss": loss, "accuracy": accuracy}
        if not model.training:
            output.update(predictions=logits, targets=labels)
        return output

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation: accuracy, macro F1, and a confusion matrix to draw."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import (
        MulticlassAccuracy,
        MulticlassConfusionMatrix,
        MulticlassF1Score,
    )

    classes = len(info["classes"])
    metrics = MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            "confusion_matrix": MulticlassConfusionMatrix(classes, validate_args=False),
        }
    )
    return metrics.to(runtime.device)
