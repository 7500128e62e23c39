"""Rendered projects are really run: they reach their results, stop, resume and refuse."""

import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from recipes import carry_out, commit, count_changes, read_steps
from rendering import CHOICES, ROOT, name_of, render
from results import OTHER_DATA, RESULTS
from running import (
    FAST,
    PROGRAMS,
    STOPPABLE,
    forks,
    python,
    read_checkpoint,
    read_records,
    records,
    rest_is_full,
    run,
    same_weights,
    start,
    step_losses,
    wait_for,
)

MNIST = Path(os.environ.get("MNIST", ROOT.parent / "shared" / "data"))  # as torchvision lays it out


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, for tests that give their runs folders of their own."""
    return render({}, tmp_path_factory.mktemp("training"))


# ----------------------------------------------------------------------------------- the results


@pytest.mark.full
@pytest.mark.parametrize("task", CHOICES["task"])
def test_default_options_reach_their_result(tmp_path, task):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    run(project, "--device", "cpu", "--quiet", "--run-dir", "run")
    result = RESULTS[task]
    value = read_records(project / "run")[-1][f"test/{result.metric}"]
    assert value >= result.bound if result.higher_is_better else value <= result.bound


@pytest.mark.full
@pytest.mark.parametrize(("task", "dataset"), OTHER_DATA)
def test_other_built_in_data_reach_their_result(tmp_path, task, dataset):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    run(project, "--device", "cpu", "--quiet", "--dataset", dataset, "--run-dir", "run")
    result = OTHER_DATA[task, dataset]
    assert read_records(project / "run")[-1][f"test/{result.metric}"] >= result.bound


def test_what_a_run_says_and_leaves(project, tmp_path):
    out, _ = run(project, "--device", "cpu", "--epochs", "1", "--run-dir", tmp_path)
    sizes = "train 1,079, val 359, test 359"
    for words in ["cpu, fp32", "77,754 parameters", sizes, str(tmp_path)]:
        assert words in out
    for name in ["curves.png", "predictions.png", "confusion_matrix.png"]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    fields = ["model", "ema_model", "optimizer", "scheduler", "scaler", "model_config"]
    fields += ["epoch", "step", "best_epoch", "best_value"]
    assert list(read_checkpoint(tmp_path)) == [*fields, "logger", "random"]


@pytest.mark.full
@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not there")
def test_mnist(project, tmp_path):
    options = ["--dataset", "mnist", "--data-dir", MNIST, "--epochs", "1", "--run-dir", tmp_path]
    run(project, "--device", "cpu", *options)
    assert read_records(tmp_path)[-1]["test/accuracy"] >= 0.985


# ------------------------------------------------------------------------------- stop and resume


def test_killed_ten_times(project, tmp_path):
    """Kill a run ten times at random, stop it at some others, and resume it each time."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    began = time.monotonic()
    run(project, *STOPPABLE, "--run-dir", whole)
    duration = time.monotonic() - began
    draw, killed = random.Random(0), 0
    for attempt in range(40):
        command = ["main.py", *STOPPABLE, "--run-dir", parts, "--resume"]
        child = forks().start(project, *command, out=tmp_path / "output.txt")
        time.sleep(draw.uniform(0, 0.25 * duration))
        number = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM][attempt % 4]
        os.kill(child, number)  # it may have ended by itself, and waits to be asked for
        (code,) = forks().wait(child)
        assert code in (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)
        killed += code == -signal.SIGKILL
        if killed == 10:
            break
    assert killed == 10
    run(project, *STOPPABLE, "--run-dir", parts, "--resume")
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)
    assert not list(parts.rglob("*.tmp.*"))


@pytest.mark.parametrize("number", rest_is_full([signal.SIGTERM, signal.SIGINT]))
def test_stop_signals(project, tmp_path, number):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*FAST, "--epochs", "150"]
    run(project, *options, "--run-dir", whole)
    process = start(project, *options, "--no-quiet", "--run-dir", parts)
    for line in process.stdout:
        if line.startswith("epoch   3/"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert f"to continue: python main.py --resume --run-dir {parts}" in out
    assert err.endswith(f"ended by {number.name}\n") and "Traceback" not in err
    assert len(records(parts)) < len(records(whole))
    run(project, "--resume", "--run-dir", parts, "--quiet")
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)


def test_resume_takes_the_newest_run_or_starts_one(project, tmp_path):
    copy = render({}, tmp_path)
    for _ in range(2):
        run(copy, *FAST, "--quick", "--resume")
    assert len(list((copy / "runs").glob("*/config.json"))) == 1
    run(copy, *FAST, "--quick")
    run(copy, *FAST, "--quick", "--config", next((copy / "runs").glob("*/config.json")))
    first, *others = (path.parent for path in (copy / "runs").glob("*/config.json"))
    assert len(others) == 2
    for other in others:
        assert records(other) == records(first)


def test_two_runs_cannot_share_a_directory(project, tmp_path):
    process = start(project, *FAST, "--epochs", "100000", "--run-dir", tmp_path)
    wait_for(tmp_path / "metrics.jsonl", process)
    _, err = run(project, *FAST, "--run-dir", tmp_path, "--resume", "--epochs", "1", code=2)
    assert "in use" in err and len(err.strip().splitlines()) == 1
    process.kill()
    process.communicate()


def test_a_loss_that_is_no_number_reaches_no_checkpoint(project, tmp_path):
    options = [*FAST, "--optimizer", "sgd", "--lr", "1e30", "--run-dir", tmp_path]
    _, err = run(project, *options, code=2)
    assert re.search(r"error: the loss is (nan|inf) in step \d+ on rank 0", err)
    assert not (tmp_path / "checkpoints" / "last.pt").exists()


def test_run_directories_that_cannot_be_used(project, tmp_path):
    (tmp_path / "file").write_text("")
    for options in (["--run-dir", tmp_path / "file"], ["--run-dir", tmp_path / "file" / "run"]):
        _, err = run(project, *FAST, *options, code=2)
        assert err.startswith("error: cannot use ") and len(err.strip().splitlines()) == 1


def test_a_start_that_fails_leaves_no_run(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    run(project, *FAST, "--quick", "--run-dir", "runs/good")
    run(project, *FAST, "--monitor", "nonsense", code=2)
    run(project, *FAST, "--quick", "--resume")
    configs = list((project / "runs").glob("*/config.json"))
    assert configs == [project / "runs" / "good" / "config.json"]


def test_a_full_disk_ends_with_one_line(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    command = [PROGRAMS / "fill_disk.py", *FAST, "--quick", "--run-dir", "run"]
    _, err = python(project, *command, code=2)
    assert err.startswith("error: cannot write run/metrics.jsonl: No space")
    assert len(err.splitlines()) == 1
    assert not (project / "run" / "summary.md").exists()


def test_a_figure_that_cannot_be_written_is_a_warning(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    run(project, *FAST, "--quick", "--run-dir", "run")
    (project / "run" / "predictions.png").unlink()
    (project / "run" / "predictions.png").mkdir()
    _, err = run(project, "--resume", "--run-dir", "run", "--quiet")
    lines = err.splitlines()
    assert lines and all(line.startswith("warning: no predictions.png: ") for line in lines), err
    assert "Is a directory" in lines[-1]
    assert (project / "run" / "confusion_matrix.png").exists()
    assert (project / "run" / "summary.md").exists()


def test_a_gpu_without_room_names_the_command_that_fits(tmp_path):
    """The third command fits; it continues the run of the first one."""
    project = render({"logger": "none"}, tmp_path)
    shutil.copy(PROGRAMS / "no_room.py", project / "my_project")
    with (project / "my_project" / "utils.py").open("a") as file:
        file.write("from .no_room import get_objective\n")
    words = [*FAST, "--epochs", "3"]
    for number in (2, 4):
        _, err = run(project, *words, code=2)
        (run_dir,) = (project / "runs").iterdir()
        name = f"runs/{run_dir.name}"
        more = f"--grad-accum {number} --resume --run-dir {name}"
        command = f"python main.py {' '.join(FAST)} --epochs 3 {more}"
        assert err == f"error: CUDA out of memory. Try {command}\n"
        words = command.split()[2:]
    run(project, *words)
    assert [record["epoch"] for record in records(run_dir)[-2:]] == [3, 3]


def test_commands_that_need_less_memory(project, tmp_path):
    finished = tmp_path / "it's finished"
    run(project, *FAST, "--quick", "--run-dir", finished)
    config = shlex.quote(str(finished / "config.json"))
    best = shlex.quote(str(finished / "checkpoints" / "best.pt"))
    name = shlex.quote(str(finished))
    cases = {
        "--batch-size 60": "--batch-size 60 --grad-accum 2",
        "--grad-accum=2 --batch-size 60": "--batch-size 60 --grad-accum 4",
        "--batch-size 60 --grad-accum 4": "--batch-size 60 --grad-accum 10",
        f"--config {config} --run-dir new": f"--config {config} --run-dir new --grad-accum 2",
        f"--no-resume --run-dir={name}": f"--grad-accum 2 --resume --run-dir {name}",
        f"--resume --run-dir {name}": f"--grad-accum 2 --resume --run-dir {name}",
        f"--evaluate {best}": f"--evaluate {best} --grad-accum 2",
    }
    full = "--batch-size 8 --grad-accum 8"
    out, _ = python(project, PROGRAMS / "print_remedies.py", *cases, full)
    first, second, third, *lines, last = out.splitlines()
    assert "DefaultCPUAllocator" in first and second == "CUDA error: out of memory" and not third
    assert lines == [f"Try python main.py {command}" for command in cases.values()]
    assert last.startswith("A micro-batch is one sample: try --activation-checkpointing, ")
    two = {"WORLD_SIZE": "2"}
    out, _ = python(project, PROGRAMS / "print_remedies.py", "--batch-size 6", **two)
    assert out.splitlines()[-1] == "Try torchrun ... main.py --batch-size 6 --grad-accum 3"


def test_profile_of_a_short_epoch(project, tmp_path):
    run(project, *FAST, "--quick", "--profile", "--run-dir", tmp_path)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert "aten::addmm" in {event.get("name") for event in events}


# ------------------------------------------------------------------------------------- processes


def test_two_processes_train_like_one(project, tmp_path):
    options = [*FAST, "--epochs", "3", "--batch-size", "64"]
    run(project, *options, "--run-dir", tmp_path / "1")
    run(project, *options, "--run-dir", tmp_path / "2", processes=2)
    run(project, *options, "--run-dir", tmp_path / "parts", "--grad-accum", "4")
    one = step_losses(tmp_path / "1")
    assert len(one) == 3 * (math.ceil(1079 / 64) - 1)  # the last step has the epoch's record
    for other in ("2", "parts"):
        assert step_losses(tmp_path / other) == pytest.approx(one, abs=1e-5)
    best = tmp_path / "1" / "checkpoints" / "best.pt"
    options = ["--evaluate", best, "--run-dir", tmp_path / "evaluated", "--quiet"]
    run(project, *options, processes=2)
    test, again = read_records(tmp_path / "1")[-1], read_records(tmp_path / "evaluated")[-1]
    assert again["test/accuracy"] == test["test/accuracy"]  # of 359 samples
    assert again["test/loss"] == pytest.approx(test["test/loss"], rel=1e-6)


def test_two_processes_stop_together_and_resume(project, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*STOPPABLE, "--epochs", "12", "--save-every", "5", "--model", "mlp", "--ema", "0"]
    run(project, *options, "--run-dir", whole, processes=2)
    process = start(project, *options, "--run-dir", parts, processes=2)
    wait_for(parts / "checkpoints" / "last.pt", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert len(records(parts)) < len(records(whole))
    run(project, *options, "--run-dir", parts, "--resume", processes=2)
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)


def test_processes_that_read_files_stop_together(project, tmp_path):
    """torchrun's signal reaches all that its processes have started, DataLoader workers too."""
    for label in range(2):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True)
        for number in range(40):
            image = Image.new("RGB", (20, 20), (100 * label, number, 0))
            image.save(folder / f"{number}.png")
    options = ["--dataset", "image_folder", "--data-dir", tmp_path / "images", "--image-size", "16"]
    options += ["--workers", "1", "--batch-size", "8", "--epochs", "100000", "--no-quiet"]
    process = start(project, *FAST, *options, "--run-dir", tmp_path / "run", processes=2)
    wait_for(tmp_path / "run" / "checkpoints" / "last.pt", process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert "stopped at step" in out and "DataLoader worker" not in err


def test_torchrun_without_a_backend_is_refused(tmp_path):
    alone = render({"distributed": "none", "logger": "none"}, tmp_path)
    process = start(alone, *FAST, "--quick", processes=2)
    _, err = process.communicate()
    assert process.returncode == 1 and "this project trains in one process" in err


# --------------------------------------------------------------------- each choice, and the texts


@pytest.mark.parametrize("distributed", CHOICES["distributed"])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_every_task_and_backend_trains(tmp_path, task, distributed):
    project = render({"task": task, "distributed": distributed, "logger": "none"}, tmp_path)
    processes = 1 if distributed == "none" else 2
    options = ["--device", "cpu", "--quick", "--quiet", "--run-dir", "run"]
    _, err = run(project, *options, processes=processes, torchrun=False)
    assert err == ""
    check_test_metrics(project / "run", task)


@pytest.mark.full
@pytest.mark.parametrize("distributed", CHOICES["distributed"])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_every_choice_trains(tmp_path, task, distributed):
    """Train as a person does; the trackers take turns, to meet every backend."""
    turn = CHOICES["task"].index(task) + CHOICES["distributed"].index(distributed)
    logger = CHOICES["logger"][turn % len(CHOICES["logger"])]
    project = render({"task": task, "distributed": distributed, "logger": logger}, tmp_path)
    processes = 1 if distributed == "none" else 2
    process = start(project, "--device", "cpu", "--quick", "--quiet", processes=processes)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    (config,) = (project / "runs").glob("*/config.json")  # beside it may be a tracker's files
    check_test_metrics(config.parent, task)


def check_test_metrics(run_dir: Path, task: str) -> None:
    """Check that a run ended with the metrics of its task."""
    test = read_records(run_dir)[-1]
    assert test["event"] == "test" and math.isfinite(test["test/loss"])
    assert f"test/{RESULTS[task].metric}" in test


@pytest.mark.parametrize("task", rest_is_full(CHOICES["task"]))
def test_metrics_are_those_of_one_process(tmp_path, task):
    """Evaluate in one process and in two, which cannot divide an odd number of samples."""
    project = render({"task": task, "logger": "none"}, tmp_path)
    loader = project / "my_project" / "engine" / "loader.py"
    text = loader.read_text()
    assert text.count("self.samples = len(dataset)\n") == 1
    odd = "self.samples = len(dataset) - 1 + len(dataset) % 2\n"
    loader.write_text(text.replace("self.samples = len(dataset)\n", odd))
    best = Path("runs/run/checkpoints/best.pt")
    run(project, "--device", "cpu", "--epochs", "1", "--quiet", "--run-dir", best.parent.parent)
    run(project, "--evaluate", best, "--run-dir", "runs/one")
    run(project, "--evaluate", best, "--run-dir", "runs/two", processes=2, torchrun=False)
    (one,), (two,) = (records(project / "runs" / name) for name in ("one", "two"))
    assert one.pop("event") == two.pop("event") == "test"
    assert two == pytest.approx(one, rel=1e-6, abs=1e-6, nan_ok=True)


ALONE = {"distributed": "none", "logger": "none"}
OWN_TESTS = [{"task": "image_classification"}, {"task": "tabular", **ALONE}]
OWN_TESTS += [{"task": task, **ALONE} for task in CHOICES["task"] if task != "tabular"]


@pytest.mark.parametrize("answers", rest_is_full(OWN_TESTS, lane=2), ids=name_of)
def test_project_passes_its_own_tests(tmp_path, answers):
    project = render(answers, tmp_path)
    out, _ = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in out and " failed" not in out


@pytest.mark.parametrize("task", rest_is_full(CHOICES["task"]))
def test_how_to_modify(tmp_path, task):
    """Do what the project's README shows, to the letter."""
    project = render({"task": task, **ALONE}, tmp_path)
    commit(project)
    chapter = (project / "README.md").read_text().split("## How to modify\n")[1].split("\n## ")[0]
    steps = read_steps(chapter)
    assert {step.file for step in steps} == {"utils.py", "models.py", "datasets.py"}
    for step in steps:
        carry_out(project, step)
    lines, files = count_changes(project)
    assert 0 < lines <= 40 and files == 3
    for check in (["check"], ["format", "--check"]):
        tool = [sys.executable, "-m", "ruff", *check, "--no-cache", "."]
        subprocess.run(tool, cwd=project, check=True)
    (command,) = re.findall(r"```bash\npython (main.py .*)\n```", chapter)
    python(project, *command.split(), "--device", "cpu")
    (folder,) = (project / "runs").iterdir()
    epochs = [record for record in read_records(folder) if record["event"] == "epoch"]
    assert epochs[-1]["train/loss"] < epochs[0]["train/loss"]


@pytest.mark.full
def test_example_runs(tmp_path):
    project = render({"hardware": "cpu"}, tmp_path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for script in ("cpu", "resume", "evaluate", "two_processes"):
        command = [f"example_runs/{script}.sh", "--quick"]
        subprocess.run(command, cwd=project, env=environment, check=True)
    assert len(list((project / "runs").glob("*/config.json"))) == 3
