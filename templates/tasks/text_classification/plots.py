"""Figures of the predictions."""

import textwrap
from typing import Any

import torch
from torch import nn

from .datasets import join_tokens
from .engine.confusion_matrix import draw_confusion
from .engine.loader import Loader
from .engine.runtime import Runtime


@torch.no_grad()
def make_figures(
    runtime: Runtime, model: nn.Module, loader: Loader, metrics: Any
) -> dict[str, Any]:
    """Return the last confusion matrix, and some texts with their predicted classes."""
    model.eval()
    info = loader.info
    tokens, labels = loader.sample_batch(12)
    with runtime.autocast():
        logits = model(tokens)  # (batch, classes)
    confidences, predictions = logits.float().softmax(dim=1).max(dim=1)

    lines = [f"{len(tokens)} texts of the {loader.split} split, with their predicted classes\n"]
    for index, text in enumerate(tokens.tolist()):
        prediction, label = int(predictions[index]), int(labels[index])
        verdict = "right"
        if prediction != label:
            verdict = f"wrong: it is {info['classes'][label]}"
        lines.append(f"{info['classes'][prediction]} ({confidences[index]:.0%}, {verdict})")
        content = textwrap.fill(join_tokens(text, info), 96)
        lines.append(textwrap.indent(content, "    ") + "\n")

    counts = metrics["confusion_matrix"].compute().cpu()
    confusion = draw_confusion(counts, info["classes"], loader.split)
    return {"confusion_matrix": confusion, "examples": "\n".join(lines)}
