"""Comparison of runs: `python compare.py runs/*` prints a table, best first, and draws curves."""

import json
import math
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Callable
from glob import glob
from pathlib import Path

from {{ cookiecutter.project_slug }}.engine.options import MAY_CHANGE, Parser
from {{ cookiecutter.project_slug }}.engine.report import (
    best_epoch,
    draw_runs,
    format_duration,
    format_number,
    is_finite,
    read_records,
)
from {{ cookiecutter.project_slug }}.engine.terminal import say

HIDDEN = MAY_CHANGE - {"data_dir", "epochs", "patience"}  # options that do not change the result
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

    def results(self) -> Row:
        """Return the metrics, the best epoch and the time."""
        epoch = f"{self.best['epoch']} of {len(self.epochs)}" if self.best else "-"
        time = format_duration(self.seconds)
        cells = {f"val/{self.monitor}": "-", "best epoch": epoch, "time": time}
        for name, value in self.metrics.items():
            if name in cells or name.startswith("test/"):
                cells[name] = format_number(value)
        return cells

    def sort_key(self, metric: str, descending: bool) -> float:
        """Return the number that runs are sorted by; a run without the metric comes last."""
        if metric not in self.metrics:
            return math.inf
        return -self.metrics[metric] if descending else self.metrics[metric]


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


def sort_runs(args: Namespace, parser: Parser, runs: list[Run]) -> None:
    """Sort the runs by --sort, or by the monitored metric in validation."""
    metric = args.sort or f"val/{runs[0].monitor}"
    names: set[str] = set()
    higher_is_better = False
    for run in runs:
        names.update(run.metrics)
        higher_is_better |= run.higher_is_better.get(metric.partition("/")[2], False)
    if args.sort and metric not in names:
        parser.error(f"no run has {metric}; choose from {', '.join(sorted(names))}")
    runs.sort(key=lambda run: run.sort_key(metric, descending=higher_is_better != args.reverse))


def get_differences(runs: list[Run]) -> list[Row]:
    """Return the options of each run that are not the same in all runs."""
    values: dict[str, list[str]] = {}  # of each option, in all runs
    for number, run in enumerate(runs):
        for name, value in run.options.items():
            values.setdefault(name, ["-"] * len(runs))[number] = str(value)
    rows: list[Row] = [{} for _ in runs]
    for name, texts in values.items():
        if name in HIDDEN or len(set(texts)) == 1:
            continue
        for row, text in zip(rows, texts, strict=True):
            row[name] = text if len(text) <= 24 else f"…{text[-23:]}"  # paths differ at their ends
    return rows


def get_labels(runs: list[Run], options: list[Row]) -> list[str]:
    """Return the legend: the options that differ, and the run if two have the same."""
    labels = []
    for run, row in zip(runs, options, strict=True):
        label = ", ".join(f"{name}={value}" for name, value in row.items())
        if not row:
            label = run.name
        elif options.count(row) > 1:
            label += f" ({run.name})"
        labels.append(textwrap.fill(label, 40))
    return labels


def print_tables(runs: list[Run], options: list[Row]) -> None:
    """Print options and results in one table if the terminal is wide enough, otherwise in two."""
    width = shutil.get_terminal_size().columns
    names = [run.name for run in runs]
    results = [run.results() for run in runs]
    together = [{**left, **right} for left, right in zip(options, results, strict=True)]
    blocks = format_table(names, together, width)
    if len(blocks) > 1:
        blocks = format_table(names, results, width)
        blocks += ["options that differ:", *format_table(names, options, width)]
    say("\n\n".join(blocks))


def format_table(names: list[str], rows: list[Row], width: int) -> list[str]:
    """Return a table with a line for each run, in blocks of columns if it exceeds `width`."""
    columns: dict[str, None] = {}  # in order, each once
    for row in rows:
        columns.update(dict.fromkeys(row))
    first = pad(["run", *names], str.ljust)
    blocks = []
    lines = first
    for name in columns:
        cells = pad([name, *(row.get(name, "-") for row in rows)], str.rjust)
        if lines is not first and len(lines[0]) + 2 + len(cells[0]) > width:
            blocks.append(lines)
            lines = first
        lines = [f"{line}  {cell}" for line, cell in zip(lines, cells, strict=True)]
    blocks.append(lines)
    return ["\n".join(block) for block in blocks]


def pad(cells: list[str], justify: Callable[[str, int], str]) -> list[str]:
    """Return the cells of a column with the same width."""
    width = len(max(cells, key=len))
    return [justify(cell, width) for cell in cells]


def main() -> None:
    """Print the table, then draw the curves."""
    parser = Parser("compare.py", usage="%(prog)s [options] RUN [RUN ...]", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory")
    help_sort = "e.g. test/loss (default: the monitored metric in validation)"
    parser.add_argument("--sort", metavar="METRIC", help=help_sort)
    parser.add_argument("--reverse", action="store_true", help="print the worst run first")
    help_output = "file of the figure"
    parser.add_argument("--output", type=Path, default="compare.png", help=help_output)
    args = parser.parse_args()

    runs, problems = read_runs(args.runs)
    if not runs:
        parser.error(problems[0])
    for problem in problems:
        say(f"warning: {problem}", sys.stderr)
    sort_runs(args, parser, runs)
    options = get_differences(runs)
    print_tables(runs, options)

    curves = []
    for run, label in zip(runs, get_labels(runs, options), strict=True):
        curves.append((label, run.epochs, run.monitor))
    figure = draw_runs(curves)
    try:
        figure.savefig(args.output, dpi=150)
    except (OSError, ValueError) as error:
        parser.error(f"cannot draw {args.output}: {error}")
    say(f"\ncurves: {args.output}")


if __name__ == "__main__":
    main()
