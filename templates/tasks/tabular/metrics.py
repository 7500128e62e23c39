"""The metrics of numbers and of classes."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torchmetrics import (
    Accuracy,
    ConfusionMatrix,
    F1Score,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    R2Score,
)
from torchmetrics.classification import MulticlassAUROC
from torchmetrics.metric import CompositionalMetric
from torchmetrics.utilities import dim_zero_cat


def number_metrics(deviation: float) -> dict[str, Any]:
    """Return R2, and two errors in the target's unit; `deviation` is that of the target."""
    return {
        "r2": R2Score(),
        "mae": ScaledError(MeanAbsoluteError(), deviation),
        "rmse": ScaledError(MeanSquaredError(squared=False), deviation),
    }


def class_metrics(classes: int) -> dict[str, Any]:
    """Return accuracy, the mean over classes of F1 and of AUROC, and the confusion matrix."""
    options: Any = {"num_classes": classes, "validate_args": False}
    return {
        "accuracy": Accuracy(task="multiclass", average="micro", **options),
        "macro_f1": F1Score(task="multiclass", average="macro", **options),
        "auroc": MeanAUROC(**options),
        "confusion_matrix": ConfusionMatrix(task="multiclass", **options),
    }


class ScaledError(CompositionalMetric):
    """An error in its own unit: a metric times a factor, with a direction."""

    higher_is_better = False

    def __init__(self, metric: Metric, factor: float):
        super().__init__(torch.mul, metric, factor)


class MeanAUROC(MulticlassAUROC):
    """The area under the ROC curve of each class against the rest: the mean over those that occur.

    It is not a number if fewer than two occur. Predictions are probabilities, (samples, classes).
    """

    def __init__(self, num_classes: int, validate_args: bool):
        super().__init__(num_classes, average="none", validate_args=validate_args)

    def compute(self) -> Tensor:  # type: ignore[override]
        """Return the mean."""
        occurs = dim_zero_cat(self.target).bincount(minlength=self.num_classes) > 0
        if occurs.sum() < 2:
            return torch.tensor(torch.nan, device=occurs.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes that do not occur
            return super().compute()[occurs].mean()
