"""Comparison of runs: `python compare.py runs/*` prints a table, best first, and draws curves.

Runs that differ in --seed or --fold alone share a row: mean ± standard deviation, and the best one.
"""

import shutil
import sys
import textwrap
from argparse import Namespace
from pathlib import Path

from {{ cookiecutter.project_slug }}.engine.options import Parser
from {{ cookiecutter.project_slug }}.engine.report import draw_runs
from {{ cookiecutter.project_slug }}.engine.runs import (
    Group,
    Row,
    get_differences,
    group_runs,
    read_runs,
    sort_by,
)
from {{ cookiecutter.project_slug }}.engine.table_formats import (
    format_csv,
    format_latex,
    format_markdown,
    format_text,
)
from {{ cookiecutter.project_slug }}.engine.terminal import say

FORMATS = {"markdown": format_markdown, "latex": format_latex, "csv": format_csv}


def sort_groups(args: Namespace, parser: Parser, groups: list[Group]) -> list[Group]:
    """Return the groups sorted by --sort, or by the monitored metric in validation."""
    metric = args.sort or f"val/{groups[0].monitor}"
    names: set[str] = set()
    higher_is_better = False
    for group in groups:
        names.update(group.metrics)
        higher_is_better |= group.higher_is_better.get(metric.partition("/")[2], False)
    if args.sort and metric not in names:
        parser.error(f"no run has {metric}; choose from {', '.join(sorted(names))}")
    return sort_by(groups, metric, descending=higher_is_better != args.reverse)


def make_table(groups: list[Group], options: list[Row], format: str) -> str:
    """Return the table in a format; as text in one table if the terminal is wide enough."""
    grouped = any(len(group.runs) > 1 for group in groups)
    names = [{"best run" if grouped else "run": group.name} for group in groups]
    results = [group.results(grouped, exact=format == "csv") for group in groups]
    together = []
    for name, row, cells in zip(names, options, results, strict=True):
        together.append({**name, **row, **cells})
    if format != "text":
        return FORMATS[format](together)
    width = shutil.get_terminal_size().columns
    blocks = format_text(together, width)
    if len(blocks) > 1:
        blocks = format_text([a | b for a, b in zip(names, results, strict=True)], width)
        blocks.append("options that differ:")
        blocks += format_text([a | b for a, b in zip(names, options, strict=True)], width)
    return "\n\n".join(blocks)


def get_labels(groups: list[Group], options: list[Row]) -> list[str]:
    """Return the legend: the options that differ, and the run if two have the same."""
    labels = []
    for group, row in zip(groups, options, strict=True):
        label = ", ".join(f"{name}={value}" for name, value in row.items())
        if not row:
            label = group.name
        elif options.count(row) > 1:
            label += f" ({group.name})"
        if len(group.runs) > 1:
            label += f" (n={len(group.runs)})"
        labels.append(textwrap.fill(label, 40))
    return labels


def parse_arguments(parser: Parser) -> Namespace:
    """Parse the command line."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="run directory")
    help = "e.g. test/loss (default: the monitored metric in validation)"
    add("--sort", metavar="METRIC", help=help)
    add("--reverse", action="store_true", help="print the worst run first")
    add("--each", action="store_true", help="a row for each run, also if only the seed differs")
    help = "format of the table; csv has all digits"
    add("--format", choices=("text", *FORMATS), default="text", help=help)
    add("--output", type=Path, default="compare.png", help="file of the figure")
    return parser.parse_args()


def main() -> None:
    """Print the table, then draw the curves."""
    parser = Parser("compare.py", usage="%(prog)s [options] RUN [RUN ...]", description=__doc__)
    args = parse_arguments(parser)
    runs, problems = read_runs(args.runs)
    if not runs:
        parser.error(problems[0])
    for problem in problems:
        say(f"warning: {problem}", sys.stderr)
    groups = [Group([run]) for run in runs] if args.each else group_runs(runs)
    groups = sort_groups(args, parser, groups)
    options = get_differences(groups)
    say(make_table(groups, options, args.format))

    curves = []
    for group, label in zip(groups, get_labels(groups, options), strict=True):
        curves.append((label, [run.epochs for run in group.runs], group.monitor))
    figure = draw_runs(curves)
    try:
        figure.savefig(args.output, dpi=150)
    except (OSError, ValueError) as error:
        parser.error(f"cannot draw {args.output}: {error}")
    if args.format == "text":
        say(f"\ncurves: {args.output}")


if __name__ == "__main__":
    main()
