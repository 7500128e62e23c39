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
    add("--model", choices=MODELS, default="dlinear", help="model to train")
    add("--dataset", choices=DATASETS, default="seasons", help="data set to train on")
    help = "table of own data (.csv, .tsv or .parquet), or its directory"
    add("--data-dir", type=Path, default="data", help=help)
    help = "column of the times in own data; by default the first one"
    add("--time-column", metavar="COLUMN", default="", help=help)
    help = "column with the names of several series that one table holds"
    add("--series-column", metavar="COLUMN", default="", help=help)
    help = "columns to forecast; by default all. Others are inputs, up to the last known step"
    add("--target-column", metavar="COLUMN", nargs="+", default=[], help=help)
    help = "columns that are known in advance, such as a price: inputs in the future as well"
    add("--known-column", metavar="COLUMN", nargs="+", default=[], help=help)
    help = "number of known time steps that a forecast is made from"
    add("--context", type=number(int, 2), default=336, help=help)
    help = "number of time steps that are forecast"
    add("--horizon", type=number(int, 1), default=96, help=help)
    help = "number of rows to take from the start of the table; 0: all"
    add("--rows", type=number(int), default=0, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor."""
    arguments = {
        "channels": len(info["channels"]),
        "context": args.context,
        "horizon": args.horizon,
    }
    if info["targets"] != info["channels"]:
        arguments["targets"] = len(info["targets"])
    return arguments


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return the mean squared error over all targets and steps of the horizon."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        windows = batch[0]  # (batch, context + horizon, channels)
        past, future = windows[:, : args.context], windows[:, args.context :]
        targets = future[:, :, : len(info["targets"])].contiguous()  # (batch, horizon, targets)
        if info["known"]:
            predictions = model(past, future[:, :, -len(info["known"]) :])
        else:
            predictions = model(past)
        predictions = predictions.float().contiguous()
        mse = F.mse_loss(predictions, targets)
        mae = F.l1_loss(predictions, targets)
        scalars = {"loss": mse, "mse": mse, "mae": mae}
        return {**scalars, "predictions": predictions, "targets": targets}

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation: MSE and MAE of standardized data, as in papers."""
    from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection

    metrics = MetricCollection({"mse": MeanSquaredError(), "mae": MeanAbsoluteError()})
    return metrics.to(runtime.device)
