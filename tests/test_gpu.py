"""What only a GPU can show; all of it is skipped without one.

Where cookiecutter is not to be had, render what these tests need elsewhere, with `python tests/test_gpu.py FOLDER`, and
run them with `RENDERED=FOLDER python -m pytest -m gpu`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, name_of, render
from running import records, same_weights
from test_processes import OPTIONS, observe

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

TASKS = CHOICES["task"]

# Raises where a step makes the host wait for the GPU; reading the losses at a log point is meant to.
NO_WAITING = """
import torch
import main, runtime, tracking, utils

count, read = tracking.Logger.count, tracking.Logger.read

def counting(logger, *arguments):
    count(logger, *arguments)
    torch.cuda.set_sync_debug_mode("error")

def reading(logger):
    torch.cuda.set_sync_debug_mode("default")
    read(logger)

tracking.Logger.count, tracking.Logger.read = counting, reading
args = utils.parse_arguments(["--device", "cuda", "--epochs", "3", "--log-every", "1000", "--quiet"])
with runtime.start(args) as here:
    main.main(args, here)
"""

# Trains in fp16 with a scale at which the gradients of the first steps are infinite, so that these steps are skipped.
OVERFLOWING = """
import sys
from functools import partial
import torch
import main, runtime, utils

torch.amp.GradScaler = partial(torch.amp.GradScaler, init_scale=2.0**60)
args = utils.parse_arguments(sys.argv[1:])
with runtime.start(args) as here:
    main.main(args, here)
"""


def answers(task: str, distributed: str = "ddp") -> dict[str, str]:
    return {"task": task, "distributed": distributed, "logger": "none"}


def train(project: Path, *options: object, launcher: tuple[str, ...] = (), script: str = "main.py") -> list[dict]:
    """Run a project on the GPU, and return its records."""
    command = [sys.executable, *launcher, script, "--device", "cuda", "--quiet", *map(str, options)]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    newest = max((project / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    return records(newest)


def learns(run: list[dict]) -> bool:
    epochs = [record["train/loss"] for record in run if "train/loss" in record]
    return epochs[-1] < epochs[0]


@pytest.mark.parametrize("task", TASKS)
def test_cpu_and_gpu_agree(tmp_path, task, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # true fp32
    project = render(answers(task), tmp_path)
    options = ["--precision", "fp32", "--quiet", "--lr", "0.0005", *OPTIONS[task]]
    losses = [observe(project, tmp_path / name, "--device", name, *options)[0] for name in ("cpu", "cuda")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("task", TASKS)
def test_tasks_learn_in_every_precision(tmp_path, task, precision):
    assert learns(train(render(answers(task), tmp_path), "--epochs", "2", "--precision", precision))


@pytest.mark.parametrize("task", TASKS)
def test_a_skipped_step_moves_nothing(tmp_path, task):
    project = render(answers(task), tmp_path)
    (project / "overflowing.py").write_text(OVERFLOWING)
    options = ["--epochs", "2", "--precision", "fp16", "--optimizer", "adamw"]
    steps = train(project, *options, script="overflowing.py")[-1]["step"]
    (run,) = (project / "runs").iterdir()
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    (taken,) = {int(parameter["step"]) for parameter in state["optimizer"]["state"].values()}
    assert 0 < taken < steps
    assert state["scheduler"]["last_epoch"] == taken
    assert state["scaler"]["scale"] < 2.0**60


@pytest.mark.parametrize("task", TASKS)
def test_compiled_models_learn(tmp_path, task):
    assert learns(train(render(answers(task), tmp_path), "--epochs", "2", "--compile"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task", TASKS)
def test_resumed_runs_are_exact(tmp_path, task, precision):
    project = render(answers(task), tmp_path)
    options = ["--precision", precision, "--deterministic", "--schedule", "constant", "--warmup", "0", "--ema", "0.9"]
    whole = train(project, *options, "--epochs", "3", "--run-dir", "runs/whole")
    train(project, *options, "--epochs", "1", "--run-dir", "runs/parts")
    parts = train(project, *options, "--epochs", "3", "--run-dir", "runs/parts", "--resume")
    assert same_weights(project / "runs" / "whole", project / "runs" / "parts")
    assert [record for record in parts if record["epoch"] > 1] == [record for record in whole if record["epoch"] > 1]


@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
@pytest.mark.parametrize("task", TASKS)
def test_one_process_under_torchrun(tmp_path, task, distributed):
    """Train over NCCL, the weights divided by FSDP2 or not, then test them without it."""
    project = render(answers(task, distributed), tmp_path)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
    options = ["--epochs", "2", "--ema", "0.9", "--clip", "1"]
    for precision in ("bf16", "fp16") if distributed == "fsdp" else ("bf16",):
        run = train(project, *options, "--precision", precision, launcher=launcher)
        assert learns(run)
        (best,) = (project / "runs").glob("*/checkpoints/best.pt")
        test = train(project, "--evaluate", best, "--precision", "fp32", "--run-dir", "runs/evaluated")[-1]
        assert test["test/loss"] == pytest.approx(run[-1]["test/loss"], rel=0.05)
        for folder in (best.parent.parent, project / "runs" / "evaluated"):
            folder.rename(tmp_path / f"{precision}-{folder.name}")


def test_sharded_checkpoints_resume(tmp_path):
    project = render(answers("language_modeling", "fsdp"), tmp_path)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
    options = ["--sharded-checkpoints", "--schedule", "constant", "--warmup", "0", "--run-dir", "runs/run"]
    train(project, *options, "--epochs", "1", launcher=launcher)
    run = train(project, *options, "--epochs", "2", "--resume", launcher=launcher)
    assert learns(run)


@pytest.mark.parametrize("task", TASKS)
def test_no_step_waits_for_the_gpu(tmp_path, task):
    project = render(answers(task), tmp_path)
    subprocess.run([sys.executable, "-c", NO_WAITING], cwd=project, check=True)


if __name__ == "__main__":  # render beforehand
    os.environ.pop("RENDERED", None)
    for wanted in [answers(task, distributed) for task in TASKS for distributed in ("ddp", "fsdp")]:
        render(wanted | {"project_slug": name_of(wanted).replace("-", "_")}, Path(sys.argv[1])).rename(
            Path(sys.argv[1]) / name_of(wanted)
        )
