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
    help = "own table of texts (.csv, .tsv or .parquet), or directory of tables or text files"
    add("--data-dir", type=Path, default="data", help=help)
    help = "columns of own tables: their names, or their numbers if there is no header"
    names = ("TEXT", "LABEL")
    add("--columns", nargs=2, metavar=names, default=["text", "label"], help=help)
    help = "column, of authors for instance, whose texts stay in one split when a table is divided"
    add("--group-column", metavar="COLUMN", default="", help=help)
    help = (
        "what a token is: a word, a byte, or a part of a word that is learned from training texts"
    )
    add("--tokenizer", choices=("words", "bytes", "bpe"), default="words", help=help)
    help = "number of tokens that are read of a text; the rest is cut off"
    add("--max-length", type=number(int, 1), default=64, help=help)
    help = "hide a fifth of the tokens of the training texts at random"
    add("--augment", action=BooleanOptionalAction, default=True, help=help)
    help = "label smoothing of the training loss"
    add("--label-smoothing", type=number(float, below=1), default=0.1, help=help)
    help = "weights of the classes in the loss; balanced: inverse to their training samples"
    add("--class-weights", choices=("none", "balanced"), default="none", help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    return {
        "vocabulary_size": len(info["vocabulary"]),
        "length": info["length"],
        "num_classes": len(info["classes"]),
        "padding": info["padding"],
    }


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy with label smoothing, in which --class-weights weigh the samples.

    Szegedy et al. 2016, https://arxiv.org/abs/1512.00567.
    """
    weights = get_class_weights(args, info)  # (classes,), or None

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        tokens, labels = batch  # (batch, length), (batch,)
        logits = model(tokens)  # (batch, classes)
        smoothing = args.label_smoothing if model.training else 0.0
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        if weights is not None:
            losses = losses * weights.to(labels.device, non_blocking=True)[labels]
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        output = {"loss": losses.mean(), "accuracy": accuracy}
        if not model.training:
            output.update(predictions=logits, targets=labels)
        return output

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
