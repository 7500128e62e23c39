"""Time and memory of a run as its data grow, and as its model grows.

    python benchmarks/growth.py [TASK ...]

Each run is a process of its own on one thread that reads its data, trains one epoch, validates and
tests. The memory is the peak of what is no file (RssAnon of Linux), less that after the imports;
the time is that of the CPU, less that of the imports.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

PROGRAM = ROOT / "tests" / "programs" / "watch_memory.py"
IMPORTS = "import matplotlib.figure, tokenizers, torchmetrics.text, main, my_project.utils"
GROWTH = (1, 4, 16, 64)
WIDTHS = (64, 128, 256, 512)  # of the language model


def write_table(folder: Path, number: int) -> None:
    """Write rows of four numbers, a category and a target."""
    generator = numpy.random.default_rng(0)
    numbers = generator.normal(size=(number, 5))
    with (folder / "table.csv").open("w") as file:
        file.write("a,b,c,d,kind,target\n")
        for row in numbers.round(4).tolist():
            file.write(f"{','.join(map(str, row[:4]))},{'uvwxyz'[int(abs(row[4])) % 6]},{row[0]}\n")


def write_texts(folder: Path, number: int) -> None:
    """Write a table of texts of 60 words, and their classes."""
    generator = random.Random(0)
    with (folder / "texts.csv").open("w") as file:
        file.write("text,label\n")
        for index in range(number):
            words = [f"w{generator.randrange(5000)}" for _ in range(60)]
            file.write(f"{'good' if index % 2 else 'bad'} {' '.join(words)},{index % 2}\n")


def write_characters(folder: Path, number: int) -> None:
    """Write a file of so many characters."""
    generator = random.Random(0)
    with (folder / "text.txt").open("w") as file:
        for _ in range(number // 100):
            file.write("".join(generator.choices("abcdefghij klmnop\n", k=100)))


def write_images(folder: Path, number: int) -> None:
    """Write JPEGs of 64 x 64 pixels in two folders."""
    generator = numpy.random.default_rng(0)
    for index in range(number):
        path = folder / "ab"[index % 2] / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        small = generator.integers(0, 255, (8, 8, 3), dtype=numpy.uint8)
        Image.fromarray(small).resize((64, 64)).save(path, quality=85)


def write_series(folder: Path, number: int) -> None:
    """Write hours of three variables."""
    start = numpy.datetime64("1990-01-01T00")
    values = numpy.random.default_rng(0).normal(size=(number, 3)).round(3).tolist()
    with (folder / "series.csv").open("w") as file:
        file.write("time,a,b,c\n")
        for hour, row in enumerate(values):
            file.write(f"{start + numpy.timedelta64(hour, 'h')},{','.join(map(str, row))}\n")


class Case(NamedTuple):
    """Data of a task that grow."""

    write: Callable[[Path, int], None]
    number: int  # the least
    unit: str
    options: list[str]


CASES = {
    "tabular": Case(
        write_table, 5000, "rows", ["--dataset", "csv", "--target", "target", "--batch-size", "256"]
    ),
    "time_series_forecasting": Case(
        write_series, 2000, "hours", ["--dataset", "csv", "--context", "96", "--horizon", "24"]
    ),
    "text_classification": Case(
        write_texts, 500, "texts", ["--dataset", "csv", "--columns", "text", "label"]
    ),
    "language_modeling": Case(
        write_characters,
        250_000,
        "characters",
        ["--dataset", "text", "--width", "32", "--layers", "1", "--batch-size", "64"],
    ),
    "image_classification": Case(
        write_images, 250, "JPEGs", ["--dataset", "image_folder", "--image-size", "32"]
    ),
    "image_generation": Case(
        write_images,
        100,
        "JPEGs",
        ["--dataset", "image_folder", "--image-size", "32", "--width", "8"],
    ),
}


def run(project: Path, *command: object) -> tuple[float, str]:
    """Run Python in the project on one thread; return its CPU seconds, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)}
    variables["XDG_CACHE_HOME"] = str(project / "cache")
    words = [sys.executable, *map(str, command)]
    result = subprocess.run(
        words, cwd=project, env=os.environ | variables, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, result.stdout


def get_size(folder: Path) -> float:
    """Return the MiB of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def grow_data(task: str) -> list[str]:
    """Return rows of a table: a task with more and more data."""
    case = CASES[task]
    rows = []
    first_seconds = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        project = render({"task": task, "distributed": "none", "logger": "none"}, Path(temporary))
        imports = min(run(project, "-c", IMPORTS)[0] for _ in range(3))
        for times in GROWTH:
            folder = project / f"data{times}"
            folder.mkdir()
            number = times * case.number
            case.write(folder, number)
            options = [*case.options, "--data-dir", folder, "--epochs", "1", "--device", "cpu"]
            options += ["--quiet", "--run-dir", f"runs/{times}"]
            seconds, out = run(project, PROGRAM, *options)
            seconds = (seconds - imports) / times
            first_seconds = first_seconds or seconds
            rows.append(
                f"| `{task}` | {number:,} {case.unit} | {get_size(folder):.1f} MiB "
                f"| {seconds / first_seconds:.2f} | {out.splitlines()[-1]} MiB |"
            )
            print(rows[-1], file=sys.stderr)
    return rows


def grow_model() -> list[str]:
    """Return rows of a table: the language model with more and more features."""
    rows = []
    first_seconds = 0.0
    answers = {"task": "language_modeling", "distributed": "none", "logger": "none"}
    with tempfile.TemporaryDirectory() as temporary:
        project = render(answers, Path(temporary))
        for width in WIDTHS:
            options = ["--width", width, "--layers", "4", "--quick", "--quiet", "--device", "cpu"]
            options += ["--run-dir", f"runs/{width}"]
            _, out = run(project, PROGRAM, *options)
            counted = json.loads(run(project, "-c", COUNT.format(width=width))[1])
            seconds = counted["seconds"] / counted["flop"]
            first_seconds = first_seconds or seconds
            rows.append(
                f"| {width} | {counted['parameters']:,} | {counted['flop'] / 1e9:.2f} "
                f"| {seconds / first_seconds:.2f} | {16 * counted['parameters'] / 2**20:.0f} MiB "
                f"| {out.splitlines()[-1]} MiB |"
            )
            print(rows[-1], file=sys.stderr)
    return rows


COUNT = """
import json, time
import main as script
from my_project.engine.runtime import start
from torch.utils.flop_counter import FlopCounterMode

options = ["--width", "{width}", "--layers", "4", "--steps-per-epoch", "5", "--epochs", "3"]
options += ["--quiet", "--device", "cpu", "--run-dir", "runs/count{width}"]
train_one_epoch = script.train_one_epoch
found = []

def measured(*arguments):
    if not found:  # the first epoch is counted, the others are timed
        with FlopCounterMode(display=False) as counter:
            scalars = train_one_epoch(*arguments)
        found.append(counter.get_total_flops() / 5)
        return scalars
    begin = time.process_time()
    scalars = train_one_epoch(*arguments)
    found.append((time.process_time() - begin) / 5)
    return scalars

script.train_one_epoch = measured
args = script.parse_arguments(options)
with start(args) as runtime:
    script.main(args, runtime)
from my_project.utils import load_model
model, _ = load_model("runs/count{width}/checkpoints/best.pt")
parameters = sum(parameter.numel() for parameter in model.parameters())
print(json.dumps(dict(flop=found[0], seconds=min(found[1:]), parameters=parameters)))
"""


def get_section(*tasks: str) -> str:
    """Measure all tasks or some, and the language model's size; return Markdown tables."""
    lines = ["| task | data | files | CPU seconds of a sample, x the first | memory |"]
    lines.append("|---|---:|---:|---:|---:|")
    for task in tasks or CASES:
        lines += grow_data(task)
    lines.append(
        "\nA run reads its data, trains an epoch, validates and tests. What is mapped, or read "
        "when it is needed, takes no more memory; a table and the series are held as numbers.\n"
    )
    lines.append(
        "| width of the GPT | parameters | GFLOP a step | CPU seconds of a FLOP, x the first "
        "| 16 bytes each | memory |"
    )
    lines.append("|---:|---:|---:|---:|---:|---:|")
    lines += grow_model()
    lines.append(
        "\nWeights, gradients and AdamW's two averages take 16 bytes for each parameter; the rest "
        "of the memory are activations."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(get_section(*sys.argv[1:]), end="")
