# {% if false %}
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
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
    add("--model", choices=MODELS, default="mlp", help="model to train")
    add("--dataset", choices=DATASETS, default="diabetes", help="data set to train on")
    help = "CSV file of --dataset csv, or directory of train.csv, val.csv and test.csv"
    add("--data-dir", type=Path, default="data", help=help)
    help = "column of the CSV files that is predicted; all others are inputs"
    add("--target", metavar="COLUMN", help=help)
    help = "columns of numbers that are categories, such as postal codes"
    add("--categorical", default="", metavar="A,B", help=help)
    help = "share of the features that are dropped in training (dropout)"
    add("--dropout", type=number(float, below=1), default=0.1, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    sizes = [1 + len(categories) for categories in info["categories"].values()]  # 0 is unknown
    return {"numbers": len(info["numbers"]), "categories": sizes, "dropout": args.dropout}


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the mean squared error of the standardized target."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        numbers, categories, targets = batch  # (batch, numbers), (batch, categories), (batch,)
        predictions = model(numbers, categories).squeeze(1).float()  # (batch,)
        loss = F.mse_loss(predictions, targets)
        if model.training:
            return {"loss": loss}
        return {"loss": loss, "predictions": predictions, "targets": targets}

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation: R2, and the errors MAE and RMSE in the target's unit."""
    from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

    from .engine.metrics import ScaledError

    metrics = MetricCollection(
        {
            "r2": R2Score(),
            "mae": ScaledError(MeanAbsoluteError(), info["deviation"]),
            "rmse": ScaledError(MeanSquaredError(squared=False), info["deviation"]),
        }
    )
    return metrics.to(runtime.device)
