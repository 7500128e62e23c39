"""What the model makes of some samples, as a picture and as text."""

import textwrap

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection

from loader import Loader
from runtime import Runtime


@torch.no_grad()
def draw_pictures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: MetricCollection
) -> dict[str, Figure | str]:
    """Draw the confusion matrix of the last evaluation, and write down some texts with their predicted classes."""
    model.eval()
    info = loader.dataset.info
    tokens, labels = loader.sample_batch(12)
    with runtime.autocast():
        confidences, predictions = model(tokens).float().softmax(dim=1).max(dim=1)
    examples = []
    for text, label, prediction, confidence in zip(
        tokens.tolist(), labels.tolist(), predictions.tolist(), confidences.tolist(), strict=True
    ):
        verdict = "right" if prediction == label else f"wrong: it is {info['classes'][label]}"
        words = " ".join(info["vocabulary"][token] for token in text if token)
        examples.append(f"{info['classes'][prediction]} ({confidence:.0%}, {verdict})")
        examples.append(textwrap.fill(words, 100, initial_indent="    ", subsequent_indent="    ") + "\n")
    return {
        "confusion_matrix": draw_confusion(metrics["confusion_matrix"].compute().cpu(), info["classes"]),
        "examples": "\n".join(examples),
    }


# {% include "tasks/confusion_matrix.py" %}
