"""Figures of the training curves, and the summary of a run.

matplotlib is imported inside the functions that draw, as it takes long to import.
"""

from __future__ import annotations

import json
import math
import shlex
from argparse import Namespace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from .options import as_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Record = dict[str, Any]  # a line of metrics.jsonl
TRAINING_ONLY = ("label_smoothing", "dropout")  # options that raise train/loss and not val/loss


def new_figure(
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (6.4, 4.8),
    **subplot_kw: Any,
) -> tuple[Figure, NDArray[Any]]:
    """Return a white figure of (width, height) inches and its axes, an array (rows, columns).

    Options of `Figure.subplots` (`sharex`, `sharey`, `width_ratios`, `height_ratios`) go there; all
    others are properties of each of the axes, e.g. `xticks=[]`.
    """
    from matplotlib.figure import Figure

    grid = {}
    for name in ("sharex", "sharey", "width_ratios", "height_ratios"):
        if name in subplot_kw:
            grid[name] = subplot_kw.pop(name)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns, squeeze=False, subplot_kw=subplot_kw, **grid)


def plain(name: str, longest: int = 40) -> str:
    """Return a name for a figure as it is: cut if it is long, and no formula between two $."""
    text = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return text.replace("$", r"\$")


# -------------------------------------------------------------------------------- training curves


def draw_curves(
    epochs: list[Record],
    monitor: str,
    higher_is_better: dict[str, bool],
    train_label: str = "train",
) -> Figure:
    """Draw loss, monitored metric and learning rate of one run over its epochs."""
    names = list(dict.fromkeys(["loss", monitor, "lr"]))
    figure, grid = new_figure(1, len(names), size=(4 * len(names), 3.2))
    for axes, name in zip(grid[0], names, strict=True):
        if name == "lr":
            plot_metric(axes, epochs, "train/lr", color="tab:gray")
        else:
            label = train_label if name == "loss" else "train"
            plot_metric(axes, epochs, f"train/{name}", color="tab:blue", label=label)
            plot_metric(axes, epochs, f"val/{name}", color="tab:orange", label="validation")
        if name == monitor:
            mark_best(axes, best_epoch(epochs, monitor, higher_is_better), f"val/{name}")
        finish_axes(axes, name)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")
    return figure


def get_train_label(args: Namespace) -> str:
    """Return the legend of the training loss: it names what makes it differ from validation's."""
    causes = []
    for name in TRAINING_ONLY:
        if getattr(args, name, 0):
            causes.append(name.replace("_", " "))
    return f"train (with {' and '.join(causes)})" if causes else "train"


def draw_runs(groups: list[tuple[str, list[list[Record]], str]]) -> Figure:
    """Draw loss and monitored metrics of groups of runs, given as (label, runs' epochs, monitor).

    Of several runs, the mean is drawn, and a band of one standard deviation around it.
    """
    import matplotlib

    names = list(dict.fromkeys(["loss", *(monitor for _, _, monitor in groups)]))
    colors = matplotlib.colormaps["tab10" if len(groups) <= 10 else "tab20"]
    lines = sum(label.count("\n") + 1 for label, _, _ in groups)
    height = max(4, 1 + 0.2 * lines)  # inches, for the legend
    dotted = {"linestyle": ":", "linewidth": 1, "marker": ""}
    figure, grid = new_figure(1, len(names), size=(5 * len(names) + 3, height))
    for axes, name in zip(grid[0], names, strict=True):
        for number, (label, runs, _) in enumerate(groups):
            color = colors(number % colors.N)
            label = "\n".join(plain(line, 80) for line in label.split("\n"))
            train, _ = average_runs(runs, f"train/{name}")
            plot_metric(axes, train, f"train/{name}", color=color, **dotted)
            val, _ = average_runs(runs, f"val/{name}")
            plot_metric(axes, val, f"val/{name}", color=color, label=label)
        finish_axes(axes, name)  # the curves decide on the scale, not the bands
        for number, (_, runs, _) in enumerate(groups):
            plot_band(axes, runs, f"val/{name}", color=colors(number % colors.N))
    handles, labels = grid[0][0].get_legend_handles_labels()
    title = "validation (dotted: train)"
    if any(len(runs) > 1 for _, runs, _ in groups):
        title += "\nmean ± standard deviation"
    figure.legend(handles, labels, loc="outside right upper", title=title, fontsize="small")
    return figure


def plot_band(axes: Axes, runs: list[list[Record]], key: str, **style: Any) -> None:
    """Fill one standard deviation around the mean of several runs."""
    if len(runs) < 2:
        return
    means, deviations = average_runs(runs, key)
    epochs, low, high = [], [], []
    for record, deviation in zip(means, deviations, strict=True):
        epochs.append(record["epoch"])
        low.append(record[key] - deviation)
        high.append(record[key] + deviation)
    axes.fill_between(epochs, low, high, alpha=0.2, linewidth=0, **style)


def average_runs(runs: list[list[Record]], key: str) -> tuple[list[Record], list[float]]:
    """Return records of a metric's mean over runs, and the standard deviation in each of them.

    Epochs that one of the runs lacks are left out: a mean over fewer runs would make a step. The
    records of a single run stay as they are.
    """
    if len(runs) == 1:
        return runs[0], [0.0] * len(runs[0])
    values: dict[int, list[float]] = {}  # by epoch
    for records in runs:
        for record in records:
            if is_finite(record.get(key)):
                values.setdefault(record["epoch"], []).append(record[key])
    means: list[Record] = []
    deviations = []
    for epoch, found in sorted(values.items()):
        if len(found) == len(runs):
            means.append({"epoch": epoch, key: mean(found)})
            deviations.append(stdev(found))
    return means, deviations


def plot_metric(axes: Axes, epochs: list[Record], key: str, **style: Any) -> None:
    """Plot one metric over the epochs that have it; a value that is not finite leaves a gap."""
    numbers, values = [], []
    for record in epochs:
        if key in record:
            numbers.append(record["epoch"])
            values.append(record[key] if is_finite(record[key]) else math.nan)
    if numbers:
        axes.plot(numbers, values, **{"marker": ".", **style})


def mark_best(axes: Axes, best: Record, key: str) -> None:
    """Put a star on the best epoch, if there is one."""
    if best:
        label = f"best: {format_number(best[key])}, epoch {best['epoch']}"
        axes.plot(best["epoch"], best[key], "*", color="tab:red", markersize=12, label=label)


def finish_axes(axes: Axes, name: str) -> None:
    """Set title, ticks and grid; a loss that falls to a tenth gets a logarithmic scale."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = axes.dataLim.intervaly
    if name == "loss" and 0 < 10 * low < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    title = "learning rate" if name == "lr" else plain(name.replace("_", " "))
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


# ---------------------------------------------------------------------------- records and numbers


def read_records(path: Path) -> list[Record]:
    """Return the records of a metrics.jsonl, but for a last line that was cut off."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            records.append(json.loads(line))
    return records


def best_epoch(records: list[Record], monitor: str, higher_is_better: dict[str, bool]) -> Record:
    """Return the record of the first epoch with the best validation value of `monitor`, or {}."""
    key = f"val/{monitor}"
    best: Record = {}
    for record in records:
        if record["event"] != "epoch" or not is_finite(record.get(key)):
            continue
        if higher_is_better.get(monitor, False):
            improved = not best or record[key] > best[key]
        else:
            improved = not best or record[key] < best[key]
        if improved:
            best = record
    return best


def is_finite(value: Any) -> bool:
    """Return whether `value` is a finite number; metrics.jsonl has null in place of NaN."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def format_number(value: float | None) -> str:
    """Return `value` with four digits, or all digits before the point: 0.9722, 31,410, 1.25e-05."""
    if value is None:
        return "nan"
    if 999.95 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_spread(values: list[float]) -> str:
    """Return mean ± standard deviation (of a sample, n - 1), or the number if there is only one.

    The deviation has two digits, and the mean as many decimals: 0.853 ± 0.021.
    """
    if len(values) == 1:
        return format_number(values[0])
    center, deviation = mean(values), stdev(values)
    if deviation == 0:
        return f"{format_number(center)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    if decimals > 8 or max(abs(center), deviation) >= 1e9:
        return f"{format_number(center)} ± {deviation:.2g}"
    return f"{center:,.{decimals}f} ± {deviation:,.{decimals}f}"


def format_duration(seconds: float) -> str:
    """Return a duration with its unit: 8.1 s, 45 s, 12 min, 3.5 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# ------------------------------------------------------------------------------------- summary.md


def format_summary(
    run_dir: Path,
    args: Namespace,
    facts: dict[str, str],
    best: Record,
    test: Record,
    figures: list[str],
) -> str:
    """Return the text of summary.md: results, command, changed options, facts, figures.

    `best` is the record of the best epoch (may be empty), `test` the record of the test, and
    `figures` are the names of files in the run directory.
    """
    blocks = [
        f"# {run_dir.resolve().name}",
        format_results(best, test),
        f"```bash\n{get_command(args)}\n```",
        format_options(args),
        "\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
    ]
    for name in figures:
        is_image = name.endswith(".png")
        blocks.append(f"![{Path(name).stem}]({name})" if is_image else f"[{name}]({name})")
    return "\n\n".join(blocks) + "\n"


def format_results(best: Record, test: Record) -> str:
    """Return the table of the metrics in test and, if there is a best epoch, in validation."""
    header = ["metric", "test"]
    if best:
        header.append(f"validation, best epoch: {best['epoch']}")
    rows = []
    for key, value in test.items():
        if key.startswith("test/"):
            name = key.removeprefix("test/")
            row = [name, format_number(value)]
            if best:
                key = f"val/{name}"
                row.append(format_number(best[key]) if key in best else "-")
            rows.append(row)
    return format_table(header, rows)


def format_options(args: Namespace) -> str:
    """Return the table of the options that differ from their defaults."""
    rows = []
    for name, words in args.changed.items():
        flag = f"--{name.replace('_', '-')}"
        value = getattr(args, name)
        if value is not False and words and words[0].startswith("--"):  # not --no-NAME
            flag = words[0].partition("=")[0]
        rows.append([f"`{flag}`", str(value), str(args.defaults.get(name))])
    if not rows:
        return "All options have their defaults."
    return format_table(["option", "value", "default"], rows)


def get_command(args: Namespace) -> str:
    """Return the command that repeats the run in a new run directory."""
    command = ["python", "main.py"]
    for words in args.changed.values():
        command += words
    if args.evaluate is not None:
        command += as_words("evaluate", args.evaluate)
    return shlex.join(command)


def format_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header)]
    for row in rows:
        lines.append([cell.replace("|", "\\|") for cell in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
