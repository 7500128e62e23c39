"""One process, two with each backend, and parts of a batch train the same; checkpoints fit all of them."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
from rendering import CHOICES, render
from running import FAST, python, records, run, same_weights, start, step_losses

STEPS = 20
OPTIONS = {  # without what depends on the process that draws it
    "image_classification": ["--no-augment"],
    "semantic_segmentation": ["--no-augment"],
    "object_detection": ["--no-augment", "--lr", "0.001"],
    "image_generation": ["--no-augment", "--batch-size", "16"],
    "text_classification": ["--no-augment", "--batch-size", "16"],
    "language_modeling": ["--no-augment", "--batch-size", "8"],
    "tabular_regression": ["--dropout", "0", "--batch-size", "8"],
    "time_series_forecasting": [],
}

# Trains for some steps and writes down the loss of each, as the mean over all processes, and the samples of an epoch.
OBSERVED = f"""
import json, sys
import torch
import loader, main, runtime, tracking, utils

folder = sys.argv[1]
losses, epochs = [], []
indices, count = loader.Loader.indices, tracking.Logger.count

def counted(logger, loss, samples, lr):
    count(logger, loss, samples, lr)
    losses.append((logger.runtime.sum(loss.double().clone()) / logger.runtime.world_size).item())
    if len(losses) == {STEPS}:
        with open(f"{{folder}}/{{logger.runtime.rank}}.json", "w") as file:
            json.dump({{"losses": losses, "samples": epochs[0], "of": epochs[1]}}, file)
        logger.runtime.close()
        sys.exit(0)

def observed(self, generator):
    chosen = indices(self, generator)
    if self.train and not epochs:
        epochs.extend([torch.cat(chosen).tolist(), len(self.dataset)])
    return chosen

tracking.Logger.count, loader.Loader.indices = counted, observed
args = utils.parse_arguments(sys.argv[2:])
with runtime.start(args) as here:
    main.main(args, here)
"""


def observe(project: Path, folder: Path, *options: str, processes: int = 1) -> tuple[list[float], list[int], int]:
    """Return the losses of the first steps, and which samples, of how many, all processes met in the first epoch."""
    folder.mkdir()
    (project / "observed.py").write_text(OBSERVED)
    python(project, "observed.py", folder, *options, "--run-dir", folder / "run", processes=processes)
    seen = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]
    assert all(one["losses"] == seen[0]["losses"] for one in seen)
    return seen[0]["losses"], sorted(sample for one in seen for sample in one["samples"]), seen[0]["of"]


def without_batch_norm(project: Path) -> Path:
    """Replace batch norm, which goes by what a process has of a batch, by a norm that goes by the sample."""
    models = project / "models.py"
    models.write_text(re.sub(r"nn\.BatchNorm2d\(", "nn.GroupNorm(1, ", models.read_text()))
    return project


@pytest.mark.parametrize("task", CHOICES["task"])
def test_processes_and_parts_train_like_one(tmp_path, task, record_property):
    projects = {
        backend: without_batch_norm(
            render({"task": task, "distributed": backend, "logger": "none"}, tmp_path / backend)
        )
        for backend in ("ddp", "fsdp")
    }
    options = ["--device", "cpu", "--precision", "fp32", "--quiet", "--epochs", "10", *OPTIONS[task]]
    runs = {
        "one process": observe(projects["ddp"], tmp_path / "1", *options),
        "2 parts": observe(projects["ddp"], tmp_path / "parts", *options, "--accumulation", "2"),
        "2 x DDP": observe(projects["ddp"], tmp_path / "2", *options, processes=2),
        "2 x FSDP2": observe(projects["fsdp"], tmp_path / "3", *options, processes=2),
    }
    losses = [run[0] for run in runs.values()]
    table = [f"{task}: losses", "step" + "".join(f"{name:>14}" for name in runs) + "    difference"]
    for step, (one, *others) in enumerate(zip(*losses, strict=True), 1):
        difference = max(abs(other - one) / abs(one) for other in others)
        table.append(f"{step:>4}" + "".join(f"{loss:>14.7f}" for loss in (one, *others)) + f"{difference:>14.1e}")
    record_property("table", "\n".join(table))
    for one in losses[1:]:
        assert one == pytest.approx(losses[0], rel=1e-4, abs=0)
    for name, (_, samples, number) in runs.items():
        assert samples == list(range(number)), f"{name}: not every sample exactly once"


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project with FSDP2."""
    return render({"distributed": "fsdp"}, tmp_path_factory.mktemp("fsdp"))


@pytest.mark.parametrize("options", [[], ["--sharded-checkpoints"]], ids=["whole", "sharded"])
def test_weights_go_from_many_processes_to_one_and_back(fsdp, tmp_path, options):
    options = [*FAST, "--epochs", "3", "--ema", "0.9", "--save-every", "10", *options]
    run(fsdp, *options, "--run-dir", tmp_path / "two", processes=2)
    best = tmp_path / "two" / "checkpoints" / "best.pt"
    run(fsdp, "--evaluate", best, "--run-dir", tmp_path / "evaluated", "--quiet")
    test, again = records(tmp_path / "two")[-1], records(tmp_path / "evaluated")[-1]
    assert again["test/accuracy"] == test["test/accuracy"]
    assert again["test/loss"] == pytest.approx(test["test/loss"], rel=1e-6)
    folders = list((tmp_path / "two" / "checkpoints").glob("shards-*"))
    assert bool(folders) == ("--sharded-checkpoints" in options) and len(folders) <= 3

    run(fsdp, *options, "--epochs", "5", "--schedule", "constant", "--warmup", "0", "--run-dir", tmp_path / "whole")
    run(fsdp, *options, "--epochs", "2", "--schedule", "constant", "--warmup", "0", "--run-dir", tmp_path / "parts")
    run(fsdp, *options, "--epochs", "4", "--resume", "--run-dir", tmp_path / "parts", processes=2)
    run(fsdp, *options, "--epochs", "5", "--resume", "--run-dir", tmp_path / "parts")
    one, other = step_losses(tmp_path / "whole"), step_losses(tmp_path / "parts")
    assert len(one) == 5 * 16 and other == pytest.approx(one, rel=1e-4)


def test_weights_of_one_process_go_on_in_two(tmp_path):
    project = render({}, tmp_path)
    options = [*FAST, "--schedule", "constant", "--warmup", "0", "--ema", "0.9"]
    run(project, *options, "--epochs", "4", "--run-dir", tmp_path / "whole")
    run(project, *options, "--epochs", "2", "--run-dir", tmp_path / "parts")
    run(project, *options, "--epochs", "4", "--resume", "--run-dir", tmp_path / "parts", processes=2)
    one, other = step_losses(tmp_path / "whole"), step_losses(tmp_path / "parts")
    assert len(one) == 4 * 16 and other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("options", [[], ["--sharded-checkpoints"]], ids=["whole", "sharded"])
def test_stopped_shards_resume_exactly(fsdp, tmp_path, options):
    options = [*FAST, "--epochs", "10", "--save-every", "5", "--ema", "0.9", *options]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(fsdp, *options, "--run-dir", whole, processes=2)
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = start(fsdp, *options, "--resume", "--run-dir", parts, processes=2)
        saved = len(records(parts)) if (parts / "metrics.jsonl").exists() else 0
        while (
            not (parts / "metrics.jsonl").exists()
            or len((parts / "metrics.jsonl").read_text().splitlines()) < saved + 60
        ):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate()
        assert process.returncode != 0
    run(fsdp, *options, "--resume", "--run-dir", parts, processes=2)
    assert records(whole) == records(parts)
    if "--sharded-checkpoints" not in options:
        assert same_weights(whole, parts)


def test_batch_norm_over_processes_does_not_tie_a_run_to_gpus(tmp_path):
    """What was trained with --sync-batch-norm is tested, and goes on, in one process on a CPU."""
    project = render({"logger": "none"}, tmp_path)
    options = [*FAST, "--quick", "--sync-batch-norm"]
    run(project, *options, "--run-dir", "runs/run")
    run(project, "--evaluate", "runs/run/checkpoints/best.pt", "--quiet")
    run(project, "--resume", "--run-dir", "runs/run", "--epochs", "3", "--quiet")
    _, err = run(project, *options, processes=2, code=1)
    assert "--sync-batch-norm works on GPUs only" in err
