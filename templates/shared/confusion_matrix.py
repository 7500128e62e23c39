"""Figure of a confusion matrix."""

from typing import Any

from torch import Tensor

from .report import new_figure, plain


def draw_confusion(counts: Tensor, classes: list[str], split: str) -> Any:
    """Draw the number of samples by true class (row) and prediction (column), shaded by share."""
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    size = min(4 + 0.35 * len(classes), 16)
    figure, grid = new_figure(size=(size + 0.8, size))
    figure.set_layout_engine("compressed")  # as the axes are square
    axes = grid[0, 0]
    shades = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(
        shades, label="share of the true class", format="{x:.0%}", fraction=0.046, pad=0.03
    )
    samples = int(counts.sum())
    axes.set_title(f"confusion matrix of {samples:,} samples, {split} split")
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(classes) > 25:
        return figure
    names = [plain(name, longest=20) for name in classes]
    axes.set_xticks(range(len(classes)), names)
    axes.set_yticks(range(len(classes)), names)
    if max(len(name) for name in names) > 3:  # too long to stand side by side
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    for row, column in counts.nonzero().tolist():
        color = "white" if shares[row, column] > 0.5 else "black"
        number = int(counts[row, column])
        axes.text(column, row, number, ha="center", va="center", color=color, fontsize=9)
    return figure
