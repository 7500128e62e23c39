"""Metrics that torchmetrics does not have."""

import torch
from torchmetrics import Metric
from torchmetrics.metric import CompositionalMetric


class ScaledError(CompositionalMetric):
    """An error in its own unit: a metric times a factor, with a direction."""

    higher_is_better = False

    def __init__(self, metric: Metric, factor: float):
        super().__init__(torch.mul, metric, factor)
