"""What only a GPU can show; all of it is skipped without one.

If cookiecutter is not there, render what these tests need elsewhere, with
`python tests/test_gpu.py FOLDER`, and run them with `RENDERED=FOLDER python -m pytest -m gpu`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, name_of, render
from running import PROGRAMS, TORCHRUN, read_checkpoint, records, same_weights
from test_processes import CONSTANT, NO_RANDOMNESS, observe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
TASKS = CHOICES["task"]
LAUNCHER = [*TORCHRUN, "1"]


def get_answers(task: str, distributed: str = "ddp") -> dict[str, str]:
    """Return the answers of a project that these tests need."""
    return {"task": task, "distributed": distributed, "logger": "none"}


def train(
    project: Path, *options: object, launcher: object = (), script: object = "main.py"
) -> Path:
    """Train a project on the GPU, and return the run directory."""
    command = [sys.executable, *launcher, script, "--device", "cuda", "--quiet", *options]
    result = subprocess.run(
        list(map(str, command)),
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    configs = (project / "runs").glob("*/config.json")
    return max(configs, key=lambda path: path.stat().st_mtime).parent


def learns(run_dir: Path) -> bool:
    """Return whether the last epoch of a run has a lower training loss than the first."""
    losses = [record["train/loss"] for record in records(run_dir) if record["event"] == "epoch"]
    return losses[-1] < losses[0]


@pytest.mark.parametrize("task", TASKS)
def test_cpu_and_gpu_agree(tmp_path, task, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # true fp32
    project = render(get_answers(task), tmp_path)
    options = ["--precision", "fp32", "--quiet", "--lr", "0.0005", *NO_RANDOMNESS[task]]
    cpu = observe(project, tmp_path / "cpu", "--device", "cpu", *options).losses
    gpu = observe(project, tmp_path / "cuda", "--device", "cuda", *options).losses
    assert gpu == pytest.approx(cpu, rel=1e-2)
    assert gpu[0] == pytest.approx(cpu[0], rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("task", TASKS)
def test_tasks_learn_in_every_precision(tmp_path, task, precision):
    project = render(get_answers(task), tmp_path)
    assert learns(train(project, "--epochs", "2", "--precision", precision))


@pytest.mark.parametrize("task", TASKS)
def test_a_skipped_step_moves_nothing(tmp_path, task):
    project = render(get_answers(task), tmp_path)
    options = ["--epochs", "2", "--precision", "fp16", "--optimizer", "adamw"]
    state = read_checkpoint(train(project, *options, script=PROGRAMS / "overflow.py"))
    (taken,) = {int(parameter["step"]) for parameter in state["optimizer"]["state"].values()}
    assert 0 < taken < state["step"]
    assert state["scheduler"]["last_epoch"] == taken
    assert state["scaler"]["scale"] < 2.0**60


@pytest.mark.parametrize("task", TASKS)
def test_compiled_models_learn(tmp_path, task):
    project = render(get_answers(task), tmp_path)
    assert learns(train(project, "--epochs", "2", "--compile"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task", TASKS)
def test_resumed_runs_are_exact(tmp_path, task, precision):
    project = render(get_answers(task), tmp_path)
    options = ["--precision", precision, "--deterministic", *CONSTANT, "--ema", "0.9"]
    whole = train(project, *options, "--epochs", "3", "--run-dir", "runs/whole")
    train(project, *options, "--epochs", "1", "--run-dir", "runs/parts")
    parts = train(project, *options, "--epochs", "3", "--run-dir", "runs/parts", "--resume")
    assert same_weights(whole, parts)
    assert records(parts) == records(whole)


@pytest.mark.parametrize("distributed", ["ddp", "fsdp"])
@pytest.mark.parametrize("task", TASKS)
def test_one_process_under_torchrun(tmp_path, task, distributed):
    """Train over NCCL, the weights divided by FSDP2 or not, then test them without it."""
    project = render(get_answers(task, distributed), tmp_path)
    options = ["--epochs", "2", "--ema", "0.9", "--grad-clip", "1"]
    for precision in ("bf16", "fp16") if distributed == "fsdp" else ("bf16",):
        run_dir = f"runs/{precision}"
        trained = [*options, "--precision", precision, "--run-dir", run_dir]
        assert learns(train(project, *trained, launcher=LAUNCHER))
        evaluated = ["--evaluate", f"{run_dir}/checkpoints/best.pt", "--precision", "fp32"]
        again = train(project, *evaluated, "--run-dir", f"{run_dir}-evaluated")
        loss = records(project / run_dir)[-1]["test/loss"]
        assert records(again)[-1]["test/loss"] == pytest.approx(loss, rel=0.05)


def test_sharded_checkpoints_resume(tmp_path):
    project = render(get_answers("language_modeling", "fsdp"), tmp_path)
    options = ["--sharded-checkpoints", *CONSTANT, "--run-dir", "runs/run"]
    train(project, *options, "--epochs", "1", launcher=LAUNCHER)
    assert learns(train(project, *options, "--epochs", "2", "--resume", launcher=LAUNCHER))


@pytest.mark.parametrize("task", TASKS)
def test_no_step_waits_for_the_gpu(tmp_path, task):
    project = render(get_answers(task), tmp_path)
    options = ["--epochs", "3", "--log-every", "1000"]
    train(project, *options, script=PROGRAMS / "never_wait.py")


def render_beforehand(folder: Path) -> None:
    """Render what these tests need into a folder."""
    os.environ.pop("RENDERED", None)
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        for distributed in ("ddp", "fsdp"):
            answers = get_answers(task, distributed)
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                render(answers, Path(temporary)).rename(folder / name_of(answers))


if __name__ == "__main__":
    render_beforehand(Path(sys.argv[1]))
