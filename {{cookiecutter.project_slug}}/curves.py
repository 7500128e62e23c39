"""Draws curves over the epochs: those of one run for curves.png, and of several for compare.py."""

from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from summary import best_epoch

Epochs = list[dict[str, Any]]  # the records of epochs in metrics.jsonl


def draw_curves(epochs: Epochs, monitor: str, maximize: bool) -> Figure:
    """Draw loss, the metric that chooses the best epoch, and learning rate over the epochs."""
    names = list(dict.fromkeys(["loss", monitor, "lr"]))
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained", facecolor="white")
    best = best_epoch(epochs, monitor, maximize)
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        for key, color in ((f"train/{name}", "tab:blue"), (f"val/{name}", "tab:orange"), (name, "tab:gray")):
            plot(axes, epochs, key, color=color, label=key)
        if name == monitor and best:
            where, value = best["epoch"], best[f"val/{name}"]
            axes.plot(where, value, "*", color="tab:red", markersize=12, label=f"best: {value:.4g}, epoch {where}")
        finish(axes, name)
        if name != "lr":
            axes.legend()
    return figure


def draw_runs(runs: list[tuple[str, Epochs, str]]) -> Figure:
    """Draw loss and monitored metrics of runs, each of which is a name, its epochs and its --monitor."""
    names = list(dict.fromkeys(["loss", *(monitor for _, _, monitor in runs)]))
    colors = matplotlib.colormaps["tab10" if len(runs) <= 10 else "tab20"]
    height = max(4, 1 + 0.2 * len(runs))  # of the legend
    figure = Figure(figsize=(5 * len(names) + 3, height), layout="constrained", facecolor="white")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for number, (label, epochs, _) in enumerate(runs):
            color = colors(number % colors.N)
            plot(axes, epochs, f"train/{name}", color=color, linestyle=":", linewidth=1, marker="")
            plot(axes, epochs, f"val/{name}", color=color, label=label)
        finish(axes, name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="validation (dotted: training)", fontsize="small")
    return figure


def plot(axes: Axes, epochs: Epochs, key: str, **style: Any) -> None:
    """Plot one metric over the epochs that have it."""
    points = [(record["epoch"], record[key]) for record in epochs if key in record]
    if points:
        axes.plot(*zip(*points, strict=True), **{"linestyle": "-", "marker": ".", **style})


def finish(axes: Axes, name: str) -> None:
    """Give the axes title, ticks and grid; a loss that falls a lot is seen better on a logarithmic scale."""
    low, high = axes.dataLim.intervaly
    if name == "loss" and 0 < 10 * low < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(title="learning rate" if name == "lr" else name.replace("_", " "), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
