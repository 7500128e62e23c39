"""Runs as they stand in tables: read from their directories, repetitions grouped."""

import json
import math
from collections import Counter
from collections.abc import Collection
from glob import glob
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from .options import MAY_CHANGE
from .report import (
    best_epoch,
    format_duration,
    format_number,
    format_spread,
    is_finite,
    read_records,
)

HIDDEN = MAY_CHANGE - {"data_dir", "epochs", "patience"}  # options that do not change the result
REPEATED = {"fold", "seed"}  # options in which repetitions of a run differ
Row = dict[str, str]  # cells by column


class Run:
    """A run directory, also of an unfinished run or an evaluation; raises an error if damaged."""

    def __init__(self, run_dir: Path):
        self.name = run_dir.resolve().name
        self.options = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
        facts = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        self.higher_is_better = facts["higher_is_better"]
        self.monitor = self.options["monitor"]
        records = read_records(run_dir / "metrics.jsonl")
        self.epochs = [record for record in records if record["event"] == "epoch"]
        self.best = best_epoch(self.epochs, self.monitor, self.higher_is_better)
        self.seconds = max((record.get("seconds", 0) for record in records), default=0)
        test = records[-1] if records and records[-1]["event"] == "test" else {}
        self.metrics: dict[str, float] = {}  # at the best epoch, and of the test
        for name, value in [*self.best.items(), *test.items()]:
            if "/" in name and is_finite(value):
                self.metrics[name] = value

    def identity(self, leave_out: Collection[str] = ()) -> str:
        """Return the options that change the result, as a text; with --fold i/k without i."""
        options = {"folds": str(self.options.get("fold")).partition("/")[2]}
        for name, value in self.options.items():
            if name not in HIDDEN and name not in leave_out:
                options[name] = value
        return json.dumps(options, sort_keys=True)


class Group:
    """Runs that differ in --seed and --fold alone, the best first; often a single run."""

    def __init__(self, runs: list[Run]):
        self.monitor = runs[0].monitor
        self.higher_is_better = runs[0].higher_is_better
        descending = self.higher_is_better.get(self.monitor, False)
        self.runs = sort_by(runs, f"val/{self.monitor}", descending)
        self.name = self.runs[0].name
        self.metrics: dict[str, float] = {}  # means over the runs that have them
        for name in self.names():
            self.metrics[name] = mean(self.values(name))

    def names(self) -> list[str]:
        """Return the names of the metrics that any of the runs has."""
        names: dict[str, None] = {}
        for run in self.runs:
            names.update(dict.fromkeys(run.metrics))
        return list(names)

    def values(self, name: str) -> list[float]:
        """Return the values of a metric in the runs that have it."""
        return [run.metrics[name] for run in self.runs if name in run.metrics]

    def option(self, name: str) -> str:
        """Return the value of an option, or the different values that the runs have."""
        values = {shorten(run.options.get(name, "-")) for run in self.runs}
        texts = sorted(values, key=natural)
        if name == "seed" and len(texts) > 2 and all(map(str.isdecimal, texts)):
            first, last = int(texts[0]), int(texts[-1])
            if last - first == len(texts) - 1:
                return f"{first}-{last}"
        return ", ".join(texts)

    def results(self, grouped: bool, exact: bool = False) -> Row:
        """Return the metrics, the best epoch and the time.

        With `grouped`, for a table with several runs in a row, also their number and the best of
        them. With `exact`, numbers have all their digits, and deviations are columns of their own.
        """
        key, best = f"val/{self.monitor}", self.runs[0].best
        cells = {"n": str(len(self.runs))} if grouped else {}
        cells |= self.metric_cells(key, exact) or {key: "-"}
        if grouped:
            value = self.runs[0].metrics.get(key)
            cells["best"] = "-" if value is None else str(value) if exact else format_number(value)
        cells["best epoch"] = f"{best['epoch']} of {len(self.runs[0].epochs)}" if best else "-"
        seconds = mean(run.seconds for run in self.runs)
        cells["time"] = f"{seconds:.1f}" if exact else format_duration(seconds)
        for name in self.metrics:
            if name.startswith("test/"):
                cells |= self.metric_cells(name, exact)
        return cells

    def metric_cells(self, name: str, exact: bool) -> Row:
        """Return a metric: its mean and standard deviation, and n if not all runs have it."""
        values = self.values(name)
        if not values:
            return {}
        if exact:
            cells = {name: str(mean(values))}
            if len(values) > 1:
                cells |= {f"{name} std": str(stdev(values)), f"{name} n": str(len(values))}
            return cells
        some = f" (n={len(values)})" if len(values) < len(self.runs) else ""
        return {name: format_spread(values) + some}


def shorten(value: Any) -> str:
    """Return the value of an option as a text, of a long number the first five digits."""
    text = str(value)
    return f"{value:.5g}" if isinstance(value, float) and len(text) > 8 else text


def natural(text: str) -> tuple[float, str]:
    """Return what sorts values of options as a person would: 2 before 10."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def sort_by(runs: list, metric: str, descending: bool) -> list:
    """Return runs or groups sorted by a metric; those without it come last."""

    def key(run: Run | Group) -> float:
        value = run.metrics.get(metric, math.inf)
        return -value if descending and metric in run.metrics else value

    return sorted(runs, key=key)


def read_runs(paths: list[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs, and a message for each directory that cannot be read."""
    paths = expand_patterns(paths)
    run_dirs = [path for path in paths if (path / "config.json").exists()]  # no other folders
    runs = []
    problems = [f"{path} does not exist" for path in paths if not path.exists()]
    for run_dir in run_dirs or filter(Path.exists, paths):
        try:
            runs.append(Run(run_dir))
        except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
            problems.append(f"{run_dir} is no run directory, or damaged: {error}")
    return runs, problems


def expand_patterns(paths: list[Path]) -> list[Path]:
    """Return paths with those that a pattern stands for, if the shell has left one as it was."""
    found = []
    for path in paths:
        matches = [] if path.exists() else sorted(map(Path, glob(str(path))))
        found += matches or [path]
    return found


def group_runs(runs: list[Run]) -> list[Group]:
    """Return runs that differ in --seed and --fold alone together.

    A run without a validation stays alone, and so does a second one with the same seed and fold: it
    is no further sample.
    """
    groups: dict[tuple[str, int], list[Run]] = {}
    copies = Counter[str]()
    for number, run in enumerate(runs):
        copies[run.identity()] += 1
        copy = copies[run.identity()] if run.best else -number
        groups.setdefault((run.identity(leave_out=REPEATED), copy), []).append(run)
    return [Group(members) for members in groups.values()]


def get_differences(groups: list[Group]) -> list[Row]:
    """Return the options of each group that are not the same in all groups."""
    names: dict[str, None] = {}
    for group in groups:
        for run in group.runs:
            names.update(dict.fromkeys(run.options))
    rows: list[Row] = [{} for _ in groups]
    for name in names:
        texts = [group.option(name) for group in groups]
        if name in HIDDEN or len(set(texts)) == 1:
            continue
        for row, text in zip(rows, texts, strict=True):
            row[name] = text if len(text) <= 24 else f"…{text[-23:]}"  # paths differ at their ends
    return rows
