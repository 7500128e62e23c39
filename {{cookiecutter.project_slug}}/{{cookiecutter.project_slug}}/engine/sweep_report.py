"""What has come out of a sweep: lines, a table and a figure of what mattered."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ranges import Range
from .report import format_number, new_figure, plain
from .runs import get_differences, group_runs, read_runs, shorten, sort_by
from .search import FrozenTrial, Search, TrialState
from .table_formats import format_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST_TABLE = 10  # of the table
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def describe_trial(search: Search, number: int) -> str:
    """Return a line for a trial that has ended."""
    trial = search.trials()[number]
    options = " ".join(f"{name}={shorten(value)}" for name, value in trial.params.items())
    if search.plan.seeds > 1:
        options += f" seed={search.seed(number)}"
    if trial.state == TrialState.COMPLETE:
        result = f"{search.plan.monitor} {format_number(trial.value)}"
    elif trial.state == TrialState.PRUNED:
        result = f"pruned after epoch {trial.last_step}"
    else:
        result = f"failed: {trial.user_attrs['error']}"
    return f"trial {number:03d}   {options}   {result}"


def describe_sweep(search: Search, folder: Path) -> str:
    """Return how the trials have ended, and the table of the best settings."""
    counts = []
    for state, name in STATES.items():
        counts.append(f"{len(search.trials(state))} {name}")
    lines = [f"trials      {', '.join(counts)}"]
    finished = search.trials(TrialState.COMPLETE)
    runs, _ = read_runs([folder / f"trial-{trial.number:03d}" for trial in finished])
    if not runs:
        return lines[0]
    groups = sort_by(group_runs(runs), f"val/{search.plan.monitor}", search.plan.maximize)
    is_grouped = search.plan.seeds > 1
    rows = []
    for group, options in zip(groups, get_differences(groups), strict=True):
        name = "best run" if is_grouped else "run"
        rows.append({name: group.name, **options, **group.results(is_grouped)})
    tables = format_text(rows[:LONGEST_TABLE], shutil.get_terminal_size().columns)
    more = f"\n... and {len(rows) - LONGEST_TABLE} more" if len(rows) > LONGEST_TABLE else ""
    return "\n\n".join([*lines, *tables]) + f"{more}\n\ncompare     python compare.py {folder}/*"


def draw_sweep(search: Search) -> Figure:
    """Draw the monitored metric over each option, those that matter most first."""
    shares = search.importances()
    ranges = sorted(search.ranges, key=lambda option: -shares.get(option.name, 0))
    columns = max(len(ranges), 1)
    figure, grid = new_figure(1, columns, size=(1 + 3 * columns, 3.4), sharey=True)
    for axes, option in zip(grid[0], ranges, strict=False):
        draw_option(axes, option, search)
        share = f": {shares[option.name]:.0%} of the importance" if option.name in shares else ""
        axes.set_title(f"{plain(option.name)}{share}", fontsize="medium")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel(f"validation {plain(search.plan.monitor)}")
    handles, labels = grid[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def draw_option(axes: Axes, option: Range, search: Search) -> None:
    """Draw the metric of all trials over the values of an option."""
    pruned = search.trials(TrialState.PRUNED)
    if pruned:
        places, values = get_points(option, pruned)
        axes.scatter(places, values, s=18, facecolors="none", edgecolors="tab:gray", label="pruned")
    complete = search.trials(TrialState.COMPLETE)
    if complete:
        places, values = get_points(option, complete)
        axes.scatter(places, values, s=18, color="tab:blue", label="complete")
        places, values = get_points(option, [search.study.best_trial])
        axes.scatter(places, values, s=120, color="tab:red", marker="*", label="best", zorder=3)
    if option.choices:
        labels = [plain(str(choice), 12) for choice in option.choices]
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif option.log:
        axes.set_xscale("log")


def get_points(option: Range, trials: list[FrozenTrial]) -> tuple[list[Any], list[Any]]:
    """Return where trials stand on the axis of an option, and their metric."""
    places, values = [], []
    for trial in trials:
        value = trial.params[option.name]
        places.append(option.choices.index(value) if option.choices else value)
        values.append(math.nan if trial.value is None else trial.value)
    return places, values
