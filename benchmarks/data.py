"""Batches from memory and from folders of JPEGs, beside what most examples do.

    python benchmarks/data.py

A batch from memory stands beside `index_select` by a permutation, and a DataLoader over a
TensorDataset: they take turns in one process. Photos stand beside torchvision's ImageFolder with
the same crop and mirroring, whose DataLoader has as many workers; each is a process of its own.
"""

import json
import os
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

BATCHES = """
import json, time, torch
from torch.utils.data import DataLoader, TensorDataset
from my_project.engine.loader import InMemory, Loader
from my_project.engine.runtime import start
from my_project.utils import parse_arguments

def index(tensors, size):
    for chosen in torch.randperm(len(tensors[0])).split(size):
        yield [tensor.index_select(0, chosen) for tensor in tensors]

for size, shape in ((64, (32,)), (128, (3, 32, 32))):
    tensors = torch.randn(200 * size, *shape), torch.zeros(200 * size, dtype=torch.int64)
    args = parse_arguments(["--batch-size", str(size), "--device", "cpu"])
    turns = []
    with start(args) as runtime:
        own = Loader(args, runtime, InMemory(*tensors), "train")
        plain = DataLoader(TensorDataset(*tensors), size, shuffle=True)
        for _ in range(9):
            seconds = []
            for batches in (index(tensors, size), own, plain):
                begin = time.process_time()
                for batch in batches:
                    pass
                seconds.append(time.process_time() - begin)
            turns.append(seconds)
    print(json.dumps(turns[1:]))
"""
PHOTOS = """
import gc, json, resource, sys, time, torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from my_project.engine.runtime import start
from my_project.utils import get_loaders, parse_arguments

kind, folder, workers = sys.argv[1:]

def cpu():
    used = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    return used

options = ["--dataset", "image_folder", "--data-dir", folder, "--image-size", "224"]
args = parse_arguments([*options, "--workers", workers, "--batch-size", "64", "--device", "cpu"])
with start(args) as runtime:
    if kind == "project":
        loader = get_loaders(args, runtime)[0]
    else:
        normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        steps = [transforms.RandomResizedCrop(224, (0.7, 1.0)), transforms.RandomHorizontalFlip()]
        transform = transforms.Compose([*steps, transforms.ToTensor(), normalize])
        dataset = ImageFolder(folder + "/train", transform)
        loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=int(workers))
    begin, number, seconds = cpu(), 0, []
    for _ in range(3):
        started_at = time.perf_counter()
        for images, _ in loader:
            number += len(images)
        seconds.append(time.perf_counter() - started_at)
    size = number / 3
    del loader
    gc.collect()
print(json.dumps([size / min(seconds), 1000 * (cpu() - begin) / number]))
"""
PHOTO_SIZES = {(500, 375): 600, (2000, 1500): 160}  # width and height: number


def run(project: Path, *command: object) -> list[list[float]]:
    """Run Python in the project on one thread; return the lists that it prints."""
    words = [sys.executable, *map(str, command)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project)}
    result = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def make_photos(folder: Path, size: tuple[int, int], number: int) -> Path:
    """Write photos of noise without sharp edges, and few to validate and test."""
    random = numpy.random.default_rng(0)
    for split, count in (("train", number), ("val", 4), ("test", 4)):
        for index in range(count):
            path = folder / split / "ab"[index % 2] / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            small = random.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=numpy.uint8)
            Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def measure_batches(project: Path) -> str:
    """Return a table of batches from memory."""
    lines = ["| a batch from memory | x `index_select` | DataLoader(TensorDataset), x |"]
    lines.append("|---|---:|---:|")
    labels = ("64 x 32 numbers", "128 x 3 x 32 x 32 numbers")
    for label, turns in zip(labels, run(project, "-c", BATCHES), strict=True):
        own = statistics.median(own / index for index, own, _ in turns)
        plain = statistics.median(plain / index for index, _, plain in turns)
        lines.append(f"| {label} | {own:.2f} | {plain:.1f} |")
    return "\n".join(lines) + "\n"


def measure_photos(project: Path) -> str:
    """Return a table of images from folders."""
    lines = ["| JPEGs for 224 pixels | workers | images/s, x ImageFolder's | CPU of an image, x |"]
    lines.append("|---|---:|---:|---:|")
    for size, number in PHOTO_SIZES.items():
        label = f"{size[0]} x {size[1]}"
        folder = make_photos(project / label.replace(" ", ""), size, number)
        for workers in (0, 1, 2):
            rates, times = [], []
            for _ in range(3):
                (plain,) = run(project, "-c", PHOTOS, "plain", folder, workers)
                (own,) = run(project, "-c", PHOTOS, "project", folder, workers)
                rates.append(own[0] / plain[0])
                times.append(own[1] / plain[1])
            rate, time = statistics.median(rates), statistics.median(times)
            lines.append(f"| {label} | {workers} | {rate:.2f} | {time:.2f} |")
    return "\n".join(lines) + "\n"


def get_section() -> str:
    """Measure both, and return Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        project = render({"distributed": "none", "logger": "none"}, Path(folder))
        text = measure_batches(project) + "\n" + measure_photos(project)
    return text + (
        "\nA batch is taken from an epoch of 200, in CPU time. Photos are read in whole epochs, of "
        "which the fastest of three counts; the CPU time is that of all processes. JPEGs that are "
        "much larger than the image are decoded at a half, a quarter or an eighth of their size.\n"
    )


if __name__ == "__main__":
    print(get_section(), end="")
