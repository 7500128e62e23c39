"""What the model makes of some samples, as pictures."""

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
    """Draw images with their predicted classes, wrong ones in red, and the confusion matrix of the last evaluation."""
    model.eval()
    info = loader.dataset.info
    images, labels = loader.sample_batch(32)
    with runtime.autocast():
        confidences, predictions = model(images).float().softmax(dim=1).max(dim=1)
    images = images.cpu() * info["std"] + info["mean"]
    predicted = Figure(figsize=(10, 6), layout="constrained", facecolor="white")
    for axes, image, label, prediction, confidence in zip(
        predicted.subplots(4, 8, subplot_kw={"xticks": [], "yticks": []}).flat,
        images,
        labels.tolist(),
        predictions.tolist(),
        confidences.tolist(),
        strict=False,
    ):
        axes.imshow(image.clamp(0, 1).movedim(0, -1).numpy(), cmap="gray")
        title = f"{info['classes'][prediction]} {confidence:.0%}"
        axes.set_title(title if prediction == label else f"{title}, is {info['classes'][label]}", fontsize=8)
        axes.title.set_color("black" if prediction == label else "tab:red")

    counts = metrics["confusion_matrix"].compute().cpu()
    return {"predictions": predicted, "confusion_matrix": draw_confusion(counts, info["classes"])}


# {% include "tasks/confusion_matrix.py" %}
