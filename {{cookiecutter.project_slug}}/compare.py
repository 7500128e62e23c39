"""Compares runs: `python compare.py runs/*` prints a table of them, the best first, and draws their curves."""

import json
import math
import sys
from pathlib import Path

from options import Parser
from summary import best_epoch, duration


class Run:
    """What the folder of a run tells of it, finished or not; fails where a file is absent or damaged."""

    def __init__(self, folder: Path):
        self.name = folder.resolve().name
        self.options = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.rising = json.loads((folder / "run.json").read_text(encoding="utf-8"))["higher_is_better"]
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        self.records = [json.loads(line) for line in lines]
        self.epochs = [record for record in self.records if "val/loss" in record]
        self.monitor = self.options["monitor"]
        self.best = best_epoch(self.epochs, self.monitor, self.rising[self.monitor])
        tests = [record for record in self.records[-1:] if "test/loss" in record]
        found = [*([self.best] if self.best else []), *tests]
        self.metrics = {name: value for record in found for name, value in record.items() if "/" in name}
        self.seconds = max((record.get("seconds", 0) for record in self.records), default=0)

    def row(self, options: list[str]) -> dict[str, str]:
        """Return the cells of this run by their columns: those of `options`, then what was reached."""
        shown = {name: value for name, value in self.metrics.items() if name.startswith("test/")}
        shown = {name: value for name, value in self.metrics.items() if name == f"val/{self.monitor}"} | shown
        return (
            {"run": self.name}
            | {name: str(self.options.get(name, "-")) for name in options}
            | ({"best epoch": f"{self.best['epoch']} of {len(self.epochs)}"} if self.best else {})
            | {name: f"{value:.4g}" for name, value in shown.items()}
            | {"time": duration(self.seconds)}
        )


def read_runs(folders: list[Path]) -> tuple[list[Run], list[str]]:
    """Return the runs in `folders`, and what is wrong with the other folders."""
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(Run(folder))
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            problems.append(f"{folder} is no run, or damaged: {error}")
    return runs, problems


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows with their columns aligned: the first to the left, the others, mostly numbers, to the right."""
    columns = [*dict.fromkeys(name for row in rows for name in row if name != "time"), "time"]
    cells = [columns, *([row.get(name, "-") for name in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = []
    for first, *others in cells:
        lines.append("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))
    return "\n".join(lines)


def main() -> None:
    """Print the table, then draw the curves."""
    parser = Parser(prog="compare.py", description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--sort", metavar="METRIC", help="such as test/loss; by default --monitor in validation")
    parser.add_argument("--reverse", action="store_true", help="the worst first")
    parser.add_argument("--output", type=Path, default="compare.png", help="where to draw; by default compare.png")
    args = parser.parse_args()

    folders = [folder for folder in args.runs if (folder / "config.json").exists()]  # and not a logger's own files
    runs, problems = read_runs(folders or args.runs)
    if not runs:
        parser.error(problems[0])
    metric = args.sort or f"val/{runs[0].monitor}"
    names = sorted({name for run in runs for name in run.metrics})
    if names and metric not in names:
        parser.error(f"no run has {metric}; choose from {', '.join(names)}")
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    rising = any(run.rising.get(metric.partition("/")[2], False) for run in runs)

    def place(run: Run) -> float:
        value = run.metrics.get(metric, math.nan)
        return math.inf if math.isnan(value) else value if rising == args.reverse else -value

    runs.sort(key=place)
    every = dict.fromkeys(name for run in runs for name in run.options)
    options = [name for name in every if len({str(run.options.get(name)) for run in runs}) > 1]
    print(table([run.row(options) for run in runs]))

    from curves import draw_runs  # here, as matplotlib takes longer to import than the table to print

    figure = draw_runs([(run.name, run.epochs, run.monitor) for run in runs])
    try:
        figure.savefig(args.output, dpi=150)
    except (OSError, ValueError) as error:
        parser.error(f"cannot draw {args.output}: {error}")
    print(f"\ncurves: {args.output}")


if __name__ == "__main__":
    main()
