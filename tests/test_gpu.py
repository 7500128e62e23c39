"""What only a GPU can show; all of it is skipped without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, render

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

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


def train(project: Path, *options: str) -> list[dict]:
    subprocess.run([sys.executable, "main.py", "--device", "cuda", "--quiet", *options], cwd=project, check=True)
    newest = max((project / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    return [json.loads(line) for line in (newest / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_tasks_learn_in_every_precision(tmp_path, task, precision):
    project = render({"task": task, "logger": "none"}, tmp_path)
    epochs = train(project, "--epochs", "2", "--precision", precision)[:-1]
    assert epochs[-1]["train/loss"] < epochs[0]["train/loss"]


@pytest.mark.parametrize("task", CHOICES["task"])
def test_no_step_waits_for_the_gpu(tmp_path, task):
    project = render({"task": task, "logger": "none"}, tmp_path)
    subprocess.run([sys.executable, "-c", NO_WAITING], cwd=project, check=True)
