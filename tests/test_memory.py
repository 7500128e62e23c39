"""Data that may be more than the memory holds: mapped images, and text that is evaluated."""

import sys
from pathlib import Path

import pytest
from PIL import Image
from rendering import render
from running import PROGRAMS, python

SIZE = 64  # pixels of a side


def make_images(folder: Path, number: int) -> Path:
    """Write images of few bytes: `number` to train, and ten each to validate and test."""
    for split, count in (("train", number), ("val", 10), ("test", 10)):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            image = Image.new("P", (SIZE, SIZE), index % 256)
            image.save(folder / split / f"{index}.png")
    return folder


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_memory_does_not_grow_with_the_images(tmp_path, record_property):
    """24,000 images take less memory than half of their pixels.

    The memory of the model's own large blocks differs by up to 85 MiB from run to run.
    """
    answers = {"task": "image_generation", "distributed": "none", "logger": "none"}
    project = render(answers, tmp_path)
    options = ["--quick", "--quiet", "--device", "cpu", "--dataset", "image_folder"]
    options += ["--image-size", str(SIZE), "--width", "8", "--batch-size", "2", "--data-dir"]
    peaks = []
    for number in (100, 24_000):
        data = make_images(tmp_path / str(number), number)
        command = [PROGRAMS / "watch_memory.py", *options, data]
        out, _ = python(project, *command, XDG_CACHE_HOME=tmp_path / "cache")
        peaks.append(float(out.splitlines()[-1]))
    record_property("table", f"{peaks} MiB for 100 and 24,000 images of {SIZE} pixels")
    assert peaks[1] - peaks[0] < 23_900 * 3 * SIZE**2 / 2**20 / 2


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_memory_does_not_grow_with_the_text(tmp_path, record_property):
    """Sums of an evaluation do not keep the memory of its batches: it took 1.5 MiB for each."""
    answers = {"task": "language_modeling", "distributed": "none", "logger": "none"}
    project = render(answers, tmp_path)
    options = ["--quiet", "--device", "cpu", "--dataset", "text", "--width", "32", "--layers", "1"]
    options += ["--epochs", "1", "--steps-per-epoch", "5", "--batch-size", "64", "--data-dir"]
    peaks = []
    for number in (1_000_000, 12_000_000):
        data = tmp_path / f"{number}.txt"
        line = "what has been, will be again, and there is nothing new\n"
        data.write_text(line * (number // len(line)))
        command = [PROGRAMS / "watch_memory.py", *options, data]
        out, _ = python(project, *command, XDG_CACHE_HOME=tmp_path / "cache")
        peaks.append(float(out.splitlines()[-1]))
    record_property("table", f"{peaks} MiB for 1 and 12 million characters")
    assert peaks[1] - peaks[0] < 200
