"""Predictions, as a text."""

from typing import Any

import torch
from torch import nn

from .engine.loader import Loader
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return the metrics and three predictions."""
    inputs, _ = loader.sample_batch(3)
    with runtime.autocast():
        predictions = model(inputs)
    return {"text": f"{loader.split}: {metrics.compute()}, {predictions.tolist()}"}
