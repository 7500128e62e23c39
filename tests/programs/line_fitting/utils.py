# {% if false %}
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    """Add the options of the model and the data."""
    add = parser.add_argument_group("task").add_argument
    add("--model", choices=MODELS, default="line", help="model to train")
    add("--dataset", choices=DATASETS, default="line", help="data set to train on")
    add("--points", type=number(int, 9), default=600, help="number of samples")


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    return {"inputs": 1, "outputs": 1}


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the squared error."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        inputs, targets = batch  # (batch, 1), (batch, 1)
        predictions = model(inputs)
        loss = F.mse_loss(predictions, targets)
        return {"loss": loss, "predictions": predictions, "targets": targets}

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation."""
    from torchmetrics import MeanAbsoluteError, MetricCollection

    return MetricCollection({"mae": MeanAbsoluteError()}).to(runtime.device)
