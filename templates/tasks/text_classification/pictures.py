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
    tokens, labels = loader.some(12)
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


def draw_confusion(counts: Tensor, classes: list[str]) -> Figure:
    """Draw how many samples of each true class (row) got which prediction (column); the shade is the row's share."""
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    size = min(4 + 0.35 * len(classes), 16)
    figure = Figure(figsize=(size + 0.8, size), layout="compressed", facecolor="white")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", format="{x:.0%}", fraction=0.046, pad=0.03)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"confusion matrix of {int(counts.sum()):,} samples")
    if len(classes) <= 25:
        names = [name if len(name) <= 20 else f"{name[:19]}…" for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), names)
        for row, column in counts.nonzero().tolist():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize=9)
    return figure
