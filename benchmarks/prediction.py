"""predict.py beside what it is made of: the evaluation of the same images, and the imports.

    python benchmarks/prediction.py [images]

The images are JPEGs of 320 x 240 pixels. Evaluation and prediction read them with two workers, in
one process and in turns; prediction also writes its table. Times of a first prediction are CPU
seconds of whole processes, the least of five.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rendering import render  # noqa: E402

PROGRAM = """
import gc, time, main, predict
from my_project.engine.runtime import start
from my_project.utils import *

options = ["--dataset", "image_folder", "--data-dir", "photos", "--image-size", "64"]
args = parse_arguments([*options, "--device", "cpu"])
model, info = load_model("runs/mine/checkpoints/best.pt")
for turn in range({turns}):
    with start(args) as runtime:
        loader = get_loaders(args, runtime)[1]
        metrics = get_metrics(args, runtime, info)
        begin = time.perf_counter()
        evaluate(runtime, model, loader, get_objective(args, info), metrics)
        evaluation = time.perf_counter() - begin
        del loader
        gc.collect()
    new = predict.parse_arguments(["runs/mine", "photos/val", "--device", "cpu"])
    with start(new) as runtime:
        begin = time.perf_counter()
        predict.main(new, runtime)
        print("ratio", evaluation / (time.perf_counter() - begin))
"""


def make_photos(folder: Path, number: int) -> None:
    """Write a few images to train on, and `number` to validate and predict."""
    random = numpy.random.default_rng(0)
    for index in range(64 + number):
        path = folder / ("train" if index < 64 else "val") / "ab"[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 255, (12, 16, 3), dtype=numpy.uint8)
        Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=85)


def run(project: Path, *command: str) -> tuple[float, str]:
    """Run Python in the project; return its CPU seconds, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *command], cwd=project, env=variables, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, result.stdout


def get_section(images: int = 10_000) -> str:
    """Measure the throughput as a share of evaluation's, and the time to a first prediction."""
    answers = {"task": "image_classification", "distributed": "none", "logger": "none"}
    with tempfile.TemporaryDirectory() as folder:
        project = render(answers, Path(folder))
        make_photos(project / "photos", images)
        options = ["--dataset", "image_folder", "--data-dir", "photos", "--image-size", "64"]
        run(project, "main.py", "--quick", "--device", "cpu", "--run-dir", "runs/mine", *options)
        printed = run(project, "-c", PROGRAM.format(turns=3))[1]
        ratios = [float(line.split()[1]) for line in printed.splitlines() if "ratio" in line]
        photo = project / "photo.jpg"  # the name of a folder would be its label, to be measured
        shutil.copy(next((project / "photos" / "val" / "a").iterdir()), photo)
        kinds = {
            "import torch, torchvision": ("-c", "import torch, torchvision"),
            "predict.py of one image": ("predict.py", "runs/mine", str(photo)),
        }
        least = dict.fromkeys(kinds, float("inf"))
        for _ in range(6):  # the first one only reads the files
            for kind, command in kinds.items():
                least[kind] = min(least[kind], run(project, *command)[0])
    imports, prediction = least.values()
    return (
        f"`predict.py` on {images:,} JPEGs reads and classifies {statistics.median(ratios):.2f} x "
        f"as many a second as the evaluation loop, between {min(ratios):.2f} and "
        f"{max(ratios):.2f} in {len(ratios)} turns. A first prediction takes {prediction:.2f} s of "
        f"CPU, {prediction / imports:.2f} x `import torch, torchvision`.\n"
    )


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
