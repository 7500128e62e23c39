"""The contracts: loaders, batches, objectives, epochs, streams and exceptions, on edited projects.

An edit adds a file to the package, whose functions take the place of the project's own.
"""

import importlib.util
import itertools
import json
import shutil
import signal
from pathlib import Path
from types import ModuleType

import pytest
import torch
from rendering import RAW_PACKAGE, render
from running import (
    FAST,
    PROGRAMS,
    python,
    read_checkpoint,
    read_records,
    records,
    run,
    same_weights,
    step_losses,
)

REPLACED = ["get_model_arguments", "get_objective", "get_metrics"]
ALONE = {"distributed": "none", "logger": "none"}
SEQUENCES = ["--device", "cpu", "--quiet", "--model", "next_token", "--batch-size", "32"]
SEQUENCES += ["--workers", "0", "--log-every", "1", "--optimizer", "sgd", "--lr", "0.5"]


def add_sequences(project: Path) -> Path:
    """Add the task of programs/sequences.py to a project."""
    package = project / "my_project"
    shutil.copy(PROGRAMS / "sequences.py", package)
    append(package / "datasets.py", "from .sequences import SPLITS\nDATASETS.update(SPLITS)")
    append(package / "models.py", "from .sequences import NextToken")
    append(package / "models.py", 'MODELS["next_token"] = NextToken')
    append(package / "utils.py", f"from .sequences import {', '.join(REPLACED)}")
    append(package / "plots.py", "from .sequences import make_figures")
    return project


def add_jittered(project: Path) -> Path:
    """Add the data set of programs/jittered.py to a project."""
    package = project / "my_project"
    shutil.copy(PROGRAMS / "jittered.py", package)
    append(package / "datasets.py", "from .jittered import SPLITS\nDATASETS.update(SPLITS)")
    return project


def append(path: Path, text: str) -> None:
    """Add lines at the end of a file."""
    path.write_text(f"{path.read_text()}\n{text}\n")


def load_raw(name: str) -> ModuleType:
    """Import a module of the raw engine that has no tags and no relative imports."""
    spec = importlib.util.spec_from_file_location(name, RAW_PACKAGE / "engine" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without a backend, with the jittered images."""
    return add_jittered(render(ALONE, tmp_path_factory.mktemp("alone")))


@pytest.fixture(scope="module")
def ddp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project with DistributedDataParallel."""
    return add_jittered(render({"logger": "none"}, tmp_path_factory.mktemp("ddp")))


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without a backend, with the sequences."""
    return add_sequences(render(ALONE, tmp_path_factory.mktemp("sequences")))


@pytest.fixture(scope="module")
def sequences_ddp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project with DistributedDataParallel."""
    return add_sequences(render({"logger": "none"}, tmp_path_factory.mktemp("sequences_ddp")))


@pytest.fixture(scope="module")
def sequences_fsdp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project with FSDP2."""
    answers = {"distributed": "fsdp", "logger": "none"}
    return add_sequences(render(answers, tmp_path_factory.mktemp("sequences_fsdp")))


# ---------------------------------------------------------------------------------- the loader


def read_orders(project: Path, *options: object) -> dict[str, list[list[list[int]]]]:
    """Return the batches of loaders of 20 samples, as programs/print_orders.py prints them."""
    command = [PROGRAMS / "print_orders.py", "--batch-size", "6", "--workers", "0", *options]
    out, _ = python(project, *command)
    return json.loads(out)


def flatten(batches: list[list[int]]) -> list[int]:
    """Return the samples of batches in their order."""
    return list(itertools.chain.from_iterable(batches))


def test_a_second_for_gives_another_order(alone):
    orders = read_orders(alone)
    assert orders.keys() == {"train InMemory", "train Items"} | {
        f"val {name}" for name in ("InMemory", "Items", "Stream")
    }
    for name, (first, second, third, *_) in orders.items():
        for batches in (first, second, third):
            assert sorted(flatten(batches)) == list(range(20)), name
        if name.startswith("train"):
            assert first != second != third != first
            assert {len(batch) for batch in first} == {5}
        else:
            assert first == second == third
            assert flatten(first) == list(range(20))
    assert orders["train InMemory"] == orders["train Items"]


def test_set_epoch_gives_the_order_of_an_epoch_and_of_its_rest(alone):
    orders = read_orders(alone)
    for name in ("train InMemory", "train Items"):
        _, second, third, again, rest, *end = orders[name]
        assert again == second
        assert rest == second[2:]
        assert end == [[], third]
    assert read_orders(alone) == orders
    assert read_orders(alone, "--seed", "1")["train Items"] != orders["train Items"]


def test_the_order_continues_over_epochs_of_some_steps(alone):
    """Epochs of 3 steps over passes of 4: the fourth batch of a pass begins the second epoch."""
    passes = read_orders(alone)["train InMemory"]
    orders = read_orders(alone, "--steps-per-epoch", "3")
    for name in ("train InMemory", "train Items"):
        first, second, third, again, rest, *end = orders[name]
        assert first + second + third == (passes[0] + passes[1] + passes[2])[:9]
        assert again == second and rest == second[2:] and end == [[], third]
    first, second, third, again, rest, *end = orders["train Stream"]
    numbers = list(range(20))
    stream = numbers + numbers[1:] + numbers[:1] + numbers[2:] + numbers[:2]
    assert flatten(first + second + third) == stream[: 9 * 6]
    assert again == second and rest == second[2:] and end == [[], third]


def test_streams_need_the_length_of_an_epoch(sequences):
    _, err = run(sequences, *SEQUENCES, "--dataset", "stream", code=2)
    assert err == "error: data without a length need --steps-per-epoch\n"


def test_an_empty_stream_is_an_error(sequences):
    options = ["--dataset", "empty_stream", "--steps-per-epoch", "2"]
    _, err = run(sequences, *SEQUENCES, *options, code=2)
    assert err == "error: Stream yields no sample in a pass\n"


# ------------------------------------------------------------------------- batches and scalars


def test_batches_are_nests():
    batch_module = load_raw("batch")
    rows = torch.arange(6).view(3, 2)
    batch = {"image": rows, "box": [rows, (rows[:, 0], None)], "name": "a"}
    assert batch_module.batch_size(batch) == 3
    first, second = batch_module.split(batch, 2)
    assert torch.equal(first["image"], rows[:2]) and torch.equal(second["image"], rows[2:])
    assert torch.equal(second["box"][1][0], rows[2:, 0])
    assert second["box"][1][1] is None and second["name"] == "a"
    assert batch_module.split(batch, 1)[0] is batch
    doubled = batch_module.map_tensors(lambda tensor: 2 * tensor, batch)
    assert torch.equal(doubled["box"][0], 2 * rows)
    with pytest.raises(ValueError, match="different lengths"):
        batch_module.split({"image": rows, "packed": torch.arange(7)}, 2)
    with pytest.raises(ValueError, match="must hold a tensor"):
        batch_module.batch_size({"name": "a"})


def test_means_have_their_own_weights():
    scalars = load_raw("scalars")
    nothing = torch.tensor(float("nan"))
    parts = []
    for output in [
        {"loss": torch.tensor(1.0), "share": (torch.tensor(0.5), 4), "predictions": 7},
        {"loss": torch.tensor(3.0), "share": (torch.tensor(1.0), torch.tensor(12)), "weight": 6},
        {"loss": torch.tensor(10.0), "share": (nothing, 0), "weight": torch.tensor(2)},
        {"loss": nothing, "share": (nothing, torch.tensor(0)), "weight": 0},
    ]:
        parts.append(scalars.get_scalars(output, samples=2))
    for number, loss, weight in ((2, 2.5, 8), (4, 4, 10)):  # a mean over nothing is not counted
        means = scalars.average(parts[:number])
        assert means.keys() == {"loss", "share"}
        assert [float(number) for number in means["loss"]] == [loss, weight]
        assert [float(number) for number in means["share"]] == [0.875, 16]
    rows = scalars.stack([(torch.tensor(0.5), 4), (nothing, 0)], torch.device("cpu"))
    assert rows.tolist() == [[2, 4], [0, 0]]
    half = torch.tensor(0.5, dtype=torch.bfloat16)  # which a count beside it would be rounded to
    rows = scalars.stack([(half, 1), (torch.tensor(1001), 1)], torch.device("cpu"))
    assert rows.tolist() == [[0.5, 1], [1001, 1]]


def compare_runs(one: Path, other: Path) -> None:
    """Check that two runs have the same scalars and weights, but for rounding."""
    for record, again in zip(records(one), records(other), strict=True):
        assert again == pytest.approx(record, abs=1e-5)
    weights, others = read_checkpoint(one)["model"], read_checkpoint(other)["model"]
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=0, atol=1e-5)


def test_dictionaries_of_equal_lengths(sequences, tmp_path):
    options = [*SEQUENCES, "--dataset", "equal_lengths", "--epochs", "3"]
    run(sequences, *options, "--run-dir", tmp_path / "1")
    run(sequences, *options, "--grad-accum", "4", "--run-dir", tmp_path / "4")
    compare_runs(tmp_path / "1", tmp_path / "4")
    assert read_records(tmp_path / "1")[-1]["test/accuracy"] > 0.7
    run(sequences, "--evaluate", tmp_path / "1" / "checkpoints" / "best.pt", "--quiet")


def test_a_mean_over_tokens_is_the_same_on_any_number_of_processes(
    sequences, sequences_ddp, sequences_fsdp, tmp_path
):
    """Also a scalar that is a mean over something else than the loss."""
    options = [*SEQUENCES, "--dataset", "ragged", "--epochs", "4"]
    run(sequences, *options, "--run-dir", tmp_path / "one")
    run(sequences, *options, "--grad-accum", "4", "--run-dir", tmp_path / "parts")
    run(sequences_ddp, *options, "--run-dir", tmp_path / "ddp", processes=2, torchrun=False)
    options += ["--grad-accum", "2"]
    run(sequences_fsdp, *options, "--run-dir", tmp_path / "fsdp", processes=2, torchrun=False)
    one = read_records(tmp_path / "one")
    assert len(step_losses(tmp_path / "one")) == 4 * 4
    assert {"step/even_accuracy", "step/loss"} <= one[0].keys()
    assert {"train/even_accuracy", "val/even_accuracy", "val/accuracy"} <= one[4].keys()
    assert one[-1]["test/accuracy"] > 0.7
    for name in ("parts", "ddp", "fsdp"):
        compare_runs(tmp_path / "one", tmp_path / name)


# --------------------------------------------------------------- epochs of some steps, and streams


def interrupt(project: Path, how: str, step: int, *options: object, rank: int = 0) -> None:
    """Run main.py with --resume, and stop or kill it at the end of a step."""
    code = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 128 + signal.SIGTERM}[how]
    python(project, PROGRAMS / "interrupt.py", how, step, rank, *options, "--resume", code=code)


def check_interrupted_runs(project: Path, folder: Path, *options: object, steps: int) -> None:
    """Kill and stop a run at several of its steps, and compare it with one that was not."""
    whole, parts = folder / "whole", folder / "parts"
    options = [*options, "--save-every", "4", "--ema", "0.9"]
    run(project, *options, "--run-dir", whole)
    for step, how in enumerate(["SIGTERM", "SIGKILL", "SIGTERM", "SIGKILL"], 1):
        interrupt(project, how, steps * step // 5, *options, "--run-dir", parts)
    run(project, *options, "--run-dir", parts, "--resume")
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)


def test_validation_within_a_pass(alone, tmp_path):
    """Epochs of 5 steps over passes of 17, interrupted within and at the end of epochs."""
    options = [*FAST, "--augment", "--log-every", "2", "--steps-per-epoch", "5", "--epochs", "8"]
    check_interrupted_runs(alone, tmp_path, *options, steps=40)
    epochs = [record for record in records(tmp_path / "whole") if record["event"] == "epoch"]
    assert [record["step"] for record in epochs] == list(range(5, 45, 5))
    assert [record["epoch"] for record in epochs] == list(range(1, 9))
    assert all("val/accuracy" in record for record in epochs)
    state = read_checkpoint(tmp_path / "whole")
    assert (state["epoch"], state["step"], state["scheduler"]["last_epoch"]) == (8, 40, 40)
    out, _ = run(alone, "--resume", "--run-dir", tmp_path / "whole", "--no-quiet")
    assert "resumed at step 40 (8 of 8 epochs done)" in out


def test_epochs_do_not_change_the_training(alone, tmp_path):
    """One epoch of 34 steps trains as 2 passes of 17 steps do."""
    run(alone, *FAST, "--epochs", "2", "--run-dir", tmp_path / "passes")
    options = ["--epochs", "1", "--steps-per-epoch", "34"]
    run(alone, *FAST, *options, "--run-dir", tmp_path / "steps")
    one, other = read_checkpoint(tmp_path / "passes"), read_checkpoint(tmp_path / "steps")
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][name])


def test_streams(sequences, sequences_ddp, tmp_path):
    """They train, resume exactly, and are the same on one and two processes."""
    options = [*SEQUENCES, "--dataset", "stream", "--steps-per-epoch", "7", "--epochs", "3"]
    check_interrupted_runs(sequences, tmp_path, *options, steps=21)
    assert read_records(tmp_path / "whole")[-1]["test/accuracy"] > 0.7
    options += ["--save-every", "4", "--ema", "0.9"]
    run(sequences_ddp, *options, "--run-dir", tmp_path / "two", processes=2, torchrun=False)
    compare_runs(tmp_path / "whole", tmp_path / "two")
    run(sequences, *options, "--workers", "2", "--run-dir", tmp_path / "workers")
    assert records(tmp_path / "workers") == records(tmp_path / "whole")


def test_transforms_of_samples_in_memory(alone, ddp, tmp_path):
    """Random transforms depend on the seed alone: not on workers, processes or interruptions."""
    options = [*FAST, "--dataset", "jittered", "--batch-size", "16", "--workers", "0"]
    options += ["--epochs", "3"]
    check_interrupted_runs(alone, tmp_path, *options, steps=30)
    options += ["--save-every", "4", "--ema", "0.9"]
    run(ddp, *options, "--run-dir", tmp_path / "two", processes=2, torchrun=False)
    losses = step_losses(tmp_path / "whole")
    assert step_losses(tmp_path / "two") == pytest.approx(losses, abs=1e-5)
    run(alone, *options, "--workers", "2", "--run-dir", tmp_path / "workers")
    assert records(tmp_path / "workers") == records(tmp_path / "whole")
    run(alone, *options, "--seed", "1", "--run-dir", tmp_path / "seed")
    assert step_losses(tmp_path / "seed") != losses


# ---------------------------------------------------------------------------- ones own exceptions


def test_an_exception_of_ones_own_keeps_its_traceback(alone, tmp_path):
    package = alone / "my_project"
    copy = Path(shutil.copytree(alone, tmp_path / "my_project"))
    path = copy / package.name / "utils.py"
    append(path, "def get_objective(*_):\n    return lambda model, batch: batch['images']")
    _, err = run(copy, *FAST, "--quick", code=1)
    assert err.startswith("Traceback") and err.splitlines()[-1].startswith("TypeError: ")
    assert 'utils.py", line ' in err


def test_an_exception_on_one_rank_ends_the_job(ddp, tmp_path):
    """The other rank waits for it, and must not do so for ever."""
    command = [PROGRAMS / "interrupt.py", "error", 3, 1, *FAST, "--run-dir", tmp_path / "run"]
    _, err = python(ddp, *command, processes=2, code=1)
    assert "Traceback" in err and "ValueError: a mistake of one's own" in err


# ------------------------------------------------------------------------ other packages' names


@pytest.mark.full
def test_names_clash_with_no_package(alone, tmp_path):
    """Hugging Face's packages and a repository for torch.hub work inside a project."""
    for name in ("datasets", "transformers", "accelerate"):
        pytest.importorskip(name)
    repository = tmp_path / "repository"
    shutil.copytree(PROGRAMS / "hub", repository)
    out, err = python(alone, PROGRAMS / "import_others.py", repository, tmp_path, HF_HUB_OFFLINE=1)
    assert out.splitlines()[-1] == "all work", out + err
