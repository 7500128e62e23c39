"""Overhead of training loops: the rendered project and frameworks beside a bare loop.

Each run is a process of its own on one thread, in which a burst of the bare loop precedes every
epoch. A run's figure is the median over its epochs, but for the first; runs of all variants come in
shuffled order.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from loop_variants import VARIANTS  # noqa: E402
from loop_work import BATCH, WORK  # noqa: E402
from rendering import render  # noqa: E402

PROGRAM = Path(__file__).with_name("loop_variants.py")
FIGURE = Path(__file__).with_name("loop.png")
TEXT = """![Time of a step, as a multiple of the bare loop's](loop.png)

The rendered project is the one of the default answers, run by its own `main` with its default
options: schedule, accuracy, records of the scalars, tracker, progress and the check of the loss are
on. The frameworks have their defaults. All have the same model, data, batch size ({batch}), loss
(cross entropy with label smoothing) and AdamW (fused), on one thread of a CPU. The bare loop takes
whole batches from a DataLoader over tensors in memory, and so do the frameworks.

Each figure is the median of several processes in shuffled order. In each, a burst of the bare loop
precedes every epoch ({steps} steps of the MLP, {cnn_steps} of the CNN), and the median of the
ratios of its epochs counts. Times are of the CPU; the last column is on the wall. Validation and
checkpoints, which come between two epochs, are not part of a step. "bare again" is the control.
A schedule of the learning rate, the accuracy of each batch, and groups of parameters, one without
weight decay, are what the project does and the bare loop does not: the rows with these names show
what each costs.
"""
HEADER = (
    "| {}, processes: {} | x bare | lowest to highest | µs a step more | x bare on the wall |\n"
    "|---|---:|---:|---:|---:|\n"
)
MODELS = """
from loop_work import WORK

MODELS["measured"] = WORK[{name!r}].model
"""
DATASETS = """
from loop_work import get_splits

DATASETS["measured"] = partial(get_splits, {name!r}, {steps}, InMemory)
"""


class Run(NamedTuple):
    """Medians over the epochs of a process."""

    ratio: float  # to the bare loop, in CPU time
    extra: float  # microseconds of the CPU a step
    wall: float  # ratio on the wall
    time: float  # microseconds a step, on the wall


def prepare_project(name: str, steps: int, folder: Path) -> None:
    """Render the default project, and add the model and the data as its user does."""
    project = render({}, folder)
    package = project / project.name
    for file, text in (("models.py", MODELS), ("datasets.py", DATASETS)):
        with (package / file).open("a") as script:
            script.write(text.format(name=name, steps=steps))


def start(folder: Path, *command: object) -> None:
    """Run Python in a new process on one thread."""
    words = [sys.executable, *map(str, command)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{result.stdout}{result.stderr}")


def run_variant(variant: str, name: str, steps: int, epochs: int, processes: int = 1) -> Run:
    """Run a variant in a new process, or in several under torchrun."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if variant.startswith("rendered project"):
            prepare_project(name, steps, folder)
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
        launcher = torchrun if processes > 1 else []
        start(folder, *launcher, PROGRAM, variant, name, steps, epochs, folder)
        measured = json.loads((folder / "epochs.json").read_text())[1:]
    ratios, extras, walls, times = [], [], [], []
    for epoch in measured:
        bare_cpu, bare_wall = epoch["bare"]
        cpu, wall = epoch["loop"]
        ratios.append(cpu / bare_cpu)
        extras.append(cpu - bare_cpu)
        walls.append(wall / bare_wall)
        times.append(wall)
    return Run(median(ratios), median(extras), median(walls), median(times))


def measure(
    name: str, variants: Iterable[str], runs: int, steps: int, epochs: int, processes: int = 1
) -> dict[str, list[Run]]:
    """Return the runs of each variant, which were made in shuffled order."""
    found: dict[str, list[Run]] = {variant: [] for variant in variants}
    order = list(found) * runs
    random.Random(0).shuffle(order)
    for number, variant in enumerate(order, 1):
        found[variant].append(run_variant(variant, name, steps, epochs, processes))
        print(f"{name} {number}/{len(order)}: {variant}, {found[variant][-1]}", file=sys.stderr)
    return found


def draw_table(name: str, found: dict[str, list[Run]]) -> str:
    """Return a Markdown table, the fastest variant first."""
    lines = []
    for variant, runs in sorted(found.items(), key=lambda item: median_of(item[1], "ratio")):
        ratios = [run.ratio for run in runs]
        label = f"**{variant}**" if variant == "rendered project" else variant
        lines.append(
            f"| {label} | {median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} "
            f"| {median_of(runs, 'extra'):+.0f} | {median_of(runs, 'wall'):.2f} |\n"
        )
    return HEADER.format(name, len(runs)) + "".join(lines)


def median_of(runs: list[Run], field: str) -> float:
    """Return the median of a field of the runs."""
    return median(getattr(run, field) for run in runs)


def draw_figure(tables: dict[str, dict[str, list[Run]]], path: Path) -> None:
    """Draw the ratios to the bare loop as bars, a panel for each model; points are the runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, len(tables), squeeze=False)[0]
    for panel, (name, found) in zip(axes, tables.items(), strict=True):
        order = sorted(found, key=lambda variant: -median_of(found[variant], "ratio"))
        for row, variant in enumerate(order):
            ratios = [run.ratio for run in found[variant]]
            color = "tab:blue" if variant.startswith("rendered project") else "silver"
            panel.barh(row, median(ratios), color=color)
            panel.plot(ratios, [row] * len(ratios), ".", color="black", markersize=3)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_yticks(range(len(order)), order)
        panel.set_xlabel("time of a step, x bare loop")
        panel.set_title(name)
    figure.savefig(path, dpi=150)


def get_section(runs: int = 3) -> str:
    """Measure all variants on both models; draw loop.png, and return Markdown."""
    tables = {}
    for name, work in WORK.items():
        tables[name] = measure(name, VARIANTS, runs, work.steps, work.epochs)
    draw_figure(tables, FIGURE)
    text = TEXT.format(
        batch=BATCH, runs=runs, steps=WORK["tiny MLP"].steps, cnn_steps=WORK["CNN"].steps
    )
    for name, found in tables.items():
        text += f"\n{draw_table(name, found)}"
    return text


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
