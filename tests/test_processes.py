"""One process, two with each backend, and micro-batches train the same; checkpoints fit all."""

import json
import re
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
from rendering import CHOICES, render
from running import (
    FAST,
    PROGRAMS,
    places,
    python,
    read_records,
    records,
    rest_is_full,
    run,
    same_weights,
    start,
    step_losses,
    wait_for,
)

STEPS = 20
# A constant learning rate, so that runs of different lengths are alike.
CONSTANT = ["--schedule", "constant", "--warmup-ratio", "0"]
# Options that switch off what each process draws at random, and numbers that suit the comparison.
NO_RANDOMNESS = {
    "image_classification": [],
    "semantic_segmentation": [],
    "object_detection": ["--lr", "0.0003"],
    "image_generation": ["--batch-size", "16"],
    "text_classification": ["--batch-size", "16"],
    "language_modeling": ["--batch-size", "8"],
    "tabular": ["--dropout", "0", "--batch-size", "8"],
    "time_series_forecasting": [],
}


class Observed(NamedTuple):
    """The losses of the first steps, the samples that all processes met in a pass, and of all."""

    losses: list[float]
    samples: list[int]
    of: int


def observe(project: Path, folder: Path, *options: object, processes: int = 1) -> Observed:
    """Train some steps of a project; the losses are means over all processes."""
    folder.mkdir()
    command = [PROGRAMS / "observe.py", folder, STEPS, *options, "--run-dir", folder / "run"]
    python(project, *command, processes=processes, torchrun=False)
    seen = []
    samples = []
    for rank in range(processes):
        seen.append(json.loads((folder / f"{rank}.json").read_text()))
        assert seen[rank]["losses"] == seen[0]["losses"]
        samples += seen[rank]["samples"]
    return Observed(seen[0]["losses"], sorted(samples), seen[0]["of"])


def without_batch_norm(project: Path) -> Path:
    """Replace batch norm, which depends on a part of a batch, by a norm of each sample."""
    models = project / "my_project" / "models.py"
    models.write_text(re.sub(r"nn\.BatchNorm2d\(", "nn.GroupNorm(1, ", models.read_text()))
    return project


def format_losses(title: str, runs: dict[str, Observed]) -> str:
    """Return a table of the losses of several runs, with their largest relative difference."""
    table = [title, "step" + "".join(f"{name:>14}" for name in runs) + "    difference"]
    losses = [observed.losses for observed in runs.values()]
    for step, (one, *others) in enumerate(zip(*losses, strict=True), 1):
        difference = max(abs(other - one) / abs(one) for other in others)
        row = "".join(f"{loss:>14.7f}" for loss in (one, *others))
        table.append(f"{step:>4}{row}{difference:>14.1e}")
    return "\n".join(table)


@pytest.mark.parametrize("task", rest_is_full(CHOICES["task"]))
def test_processes_and_micro_batches_train_like_one(tmp_path, task, record_property):
    projects = {}
    for backend in ("ddp", "fsdp"):
        answers = {"task": task, "distributed": backend, "logger": "none"}
        projects[backend] = without_batch_norm(render(answers, tmp_path / backend))
    options = ["--device", "cpu", "--precision", "fp32", "--quiet", "--epochs", "10"]
    options += NO_RANDOMNESS[task]
    ddp, fsdp = projects.values()
    runs = {
        "one process": observe(ddp, tmp_path / "1", *options),
        "--grad-accum 2": observe(ddp, tmp_path / "parts", *options, "--grad-accum", "2"),
        "2 x DDP": observe(ddp, tmp_path / "2", *options, processes=2),
        "2 x FSDP2": observe(fsdp, tmp_path / "3", *options, processes=2),
    }
    record_property("table", format_losses(f"{task}: losses", runs))
    losses = runs["one process"].losses
    for name, observed in runs.items():
        assert observed.losses == pytest.approx(losses, rel=1e-4, abs=0), name
        assert observed.samples == list(range(observed.of)), f"{name}: not every sample once"


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project with FSDP2 and without a tracker."""
    return render({"distributed": "fsdp", "logger": "none"}, tmp_path_factory.mktemp("fsdp"))


@pytest.mark.parametrize("options", rest_is_full([[], ["--sharded-checkpoints"]]), ids=str)
def test_weights_go_from_many_processes_to_one_and_back(fsdp, tmp_path, options):
    options = [*FAST, "--epochs", "3", "--ema", "0.9", "--save-every", "10", *options]
    run(fsdp, *options, "--run-dir", tmp_path / "two", processes=2, torchrun=False)
    best = tmp_path / "two" / "checkpoints" / "best.pt"
    run(fsdp, "--evaluate", best, "--run-dir", tmp_path / "evaluated", "--quiet")
    test, again = read_records(tmp_path / "two")[-1], read_records(tmp_path / "evaluated")[-1]
    assert again["test/accuracy"] == test["test/accuracy"]
    assert again["test/loss"] == pytest.approx(test["test/loss"], rel=1e-6)
    shards = list((tmp_path / "two" / "checkpoints").glob("shards-*"))
    assert bool(shards) == ("--sharded-checkpoints" in options) and len(shards) <= 3

    # They also begin another run, here one whose training changes nothing.
    begin = [*options, "--lr", "0", "--optimizer", "sgd", "--init-from", tmp_path / "two"]
    begin += ["--epochs", "1", "--run-dir"]
    run(fsdp, *begin, tmp_path / "begun", processes=2, torchrun=False)
    begun = read_records(tmp_path / "begun")[-1]
    assert begun["test/loss"] == pytest.approx(test["test/loss"], rel=1e-6)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(fsdp, *options, *CONSTANT, "--epochs", "5", "--run-dir", whole)
    run(fsdp, *options, *CONSTANT, "--epochs", "2", "--run-dir", parts)
    run(
        fsdp, *options, "--epochs", "4", "--resume", "--run-dir", parts, processes=2, torchrun=False
    )
    run(fsdp, *options, "--epochs", "5", "--resume", "--run-dir", parts)
    one, other = step_losses(whole), step_losses(parts)
    assert len(one) == 5 * 16 and other == pytest.approx(one, rel=1e-4)


@pytest.mark.full
def test_weights_of_one_process_continue_in_two(tmp_path):
    project = render({}, tmp_path)
    options = [*FAST, *CONSTANT, "--ema", "0.9"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(project, *options, "--epochs", "4", "--run-dir", whole)
    run(project, *options, "--epochs", "2", "--run-dir", parts)
    run(project, *options, "--epochs", "4", "--resume", "--run-dir", parts, processes=2)
    one, other = step_losses(whole), step_losses(parts)
    assert len(one) == 4 * 16 and other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize(("seconds", "exchanges"), [(0.001, 8), (0.01, 20), (0.1, 100)])
def test_short_steps_share_an_exchange_of_signals(fsdp, seconds, exchanges):
    out, _ = python(fsdp, PROGRAMS / "count_exchanges.py", seconds, **places(1)[0])
    found, steps = map(int, out.split())
    assert exchanges - 2 <= found <= exchanges + 2
    assert steps <= 17  # until a signal is known, whatever the steps before took


@pytest.mark.parametrize("options", rest_is_full([["--sharded-checkpoints"], []]), ids=str)
def test_stopped_shards_resume_exactly(fsdp, tmp_path, options):
    options = [*FAST, "--epochs", "10", "--save-every", "5", "--ema", "0.9", *options]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(fsdp, *options, "--run-dir", whole, processes=2)
    for number, lines in ((signal.SIGTERM, 40), (signal.SIGKILL, 100)):  # of 171
        process = start(fsdp, *options, "--resume", "--run-dir", parts, processes=2)
        wait_for(parts / "metrics.jsonl", process, lines)
        process.send_signal(number)
        process.communicate()
        assert process.returncode != 0
    run(fsdp, *options, "--resume", "--run-dir", parts, processes=2)
    assert records(whole) == records(parts)
    if "--sharded-checkpoints" not in options:
        assert same_weights(whole, parts)


@pytest.mark.full
def test_batch_norm_over_processes_does_not_tie_a_run_to_gpus(tmp_path):
    """A run with --sync-batch-norm is tested, and resumed, in one process on a CPU."""
    project = render({"logger": "none"}, tmp_path)
    options = [*FAST, "--quick", "--sync-batch-norm"]
    run(project, *options, "--run-dir", "runs/run")
    run(project, "--evaluate", "runs/run/checkpoints/best.pt", "--quiet")
    run(project, "--resume", "--run-dir", "runs/run", "--epochs", "3", "--quiet")
    _, err = run(project, *options, processes=2, code=1)
    assert "--sync-batch-norm works on GPUs only" in err
