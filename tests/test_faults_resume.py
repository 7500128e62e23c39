"""Runs that are stopped or killed at each place in turn: the resumed run ends as a whole one."""

import json
import signal
from pathlib import Path

import pytest
from faults_table import Report
from PIL import Image
from rendering import render
from running import (
    FAST,
    PROGRAMS,
    forks,
    places,
    python,
    records,
    run,
    same_weights,
)

TWO_EPOCHS = [*FAST, "--epochs", "2", "--ema", "0.9"]
full = pytest.mark.faults


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project without a tracker."""
    return render({"logger": "none"}, tmp_path_factory.mktemp("resume"))


def make_images(folder: Path) -> Path:
    """Make 100 noisy images of two classes, which are split into 80, 10 and 10."""
    for label, colour in (("cat", 60), ("dog", 180)):
        (folder / label).mkdir(parents=True)
        for number in range(50):
            image = Image.effect_noise((16, 16), 40).point(lambda value, mean=colour: value + mean)
            image.convert("RGB").save(folder / label / f"{number}.png")
    return folder


# ------------------------------------------------------------------------------------- every step


@pytest.mark.parametrize("workers", [pytest.param(2, marks=full), 0])
@pytest.mark.parametrize("every", [11, pytest.param(1, marks=full)])
def test_every_step_of_two_epochs(project, tmp_path, report_faults: Report, every, workers):
    """Stop after each step, and resume; with random crops and flips, which come again as well."""
    images = make_images(tmp_path / "images")
    options = ["--device", "cpu", "--quiet", "--epochs", "2", "--log-every", "1", "--ema", "0.9"]
    options += ["--dataset", "image_folder", "--data-dir", images, "--image-size", "16"]
    options += ["--batch-size", "5", "--workers", workers]  # 16 steps an epoch
    command = [PROGRAMS / "stop_everywhere.py", tmp_path, every, *options]
    out, _ = python(project, *command)
    found = json.loads(out.splitlines()[-1])
    assert found["stopped"] == 32 // every
    kind = f"stop and resume at each step of two epochs, `--workers {workers}`"
    report_faults(kind, found["stopped"], wrong=len(found["wrong"]), note="equal weights")


@full
@pytest.mark.parametrize(
    ("distributed", "options"),
    [("ddp", []), ("fsdp", []), ("fsdp", ["--sharded-checkpoints"])],
    ids=["ddp", "fsdp", "sharded"],
)
def test_steps_of_two_processes(tmp_path, report_faults: Report, distributed, options):
    """A signal reaches one of the ranks in turn; both stop at the same step, and resume."""
    project = render({"distributed": distributed, "logger": "none"}, tmp_path)
    options = [*TWO_EPOCHS, *options, "--dist-timeout", "60"]
    whole = tmp_path / "whole"
    run(project, *options, "--run-dir", whole, processes=2, torchrun=False)
    wrong = 0
    for number, step in enumerate((1, 7, 15, 16, 24, 31)):  # of 2 x 17
        parts = tmp_path / f"parts-{step}"
        command = [PROGRAMS / "interrupt.py", "SIGTERM", step, number % 2, *options]
        children = []
        for place in places(2):
            out = tmp_path / f"{step}-{place['RANK']}.txt"
            command_here = [*command, "--run-dir", parts]
            children.append(forks().start(project, *command_here, out=out, **place))
        codes = [forks().wait(child)[0] for child in children]
        run(project, "--resume", "--run-dir", parts, processes=2, torchrun=False)
        wrong += codes != [128 + signal.SIGTERM] * 2 or not is_like(project, whole, parts)
    name = " ".join([distributed, *(f"`{option}`" for option in options[len(TWO_EPOCHS) : -2])])
    kind = f"stop and resume, two processes, {name}"
    report_faults(kind, 6, wrong=wrong, note="equal weights")


def is_like(project: Path, whole: Path, parts: Path) -> bool:
    """Return whether two runs ended with the same records and weights; shards are read first."""
    if records(whole) != records(parts):
        return False
    if not list((whole / "checkpoints").glob("shards-*")):
        return same_weights(whole, parts)
    lasts = [folder / "checkpoints" / "last.pt" for folder in (whole, parts)]
    out, _ = python(project, PROGRAMS / "compare_weights.py", *lasts)
    return out == "equal\n"


# ------------------------------------------------------------------------------------------ kills


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("every", [50, pytest.param(1, marks=full)])
def test_kills_before_each_file_operation(
    project, tmp_path, report_faults: Report, every, background
):
    options = [*FAST, "--quick", "--save-every", "2", "--ema", "0.9"]
    command = [PROGRAMS / "kill_everywhere.py", tmp_path, every, *options]
    out, _ = python(project, *command, BACKGROUND=background)
    found = json.loads(out.splitlines()[-1])
    assert found["killed"] == found["operations"] // every > 0
    kind = "`kill -9` before each file operation of a run"
    if background:
        kind += ", checkpoints written in the background"
    note = "equal weights, every file readable, no stray"
    print(*found["faults"], sep="\n")
    report_faults(kind, found["killed"], lost=len(found["faults"]), note=note)
