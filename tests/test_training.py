"""Rendered projects are really run: they reach their results, stop and resume exactly, and train alike in processes."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from rendering import CHOICES, ROOT, render
from results import RESULTS
from running import FAST, OPTIONS, forks, python, records, run, same_weights, start, step_losses

MNIST = Path(os.environ.get("MNIST", ROOT.parent / "shared" / "data"))  # a folder in the layout of torchvision


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, for tests that give their runs folders of their own."""
    return render({}, tmp_path_factory.mktemp("training"))


# --------------------------------------------------------------------------------------------------------- the results


@pytest.mark.parametrize("task", CHOICES["task"])
def test_default_options_reach_their_result(tmp_path, task):
    project = render({"task": task, "distributed": "none", "logger": "none"}, tmp_path)
    run(project, "--device", "cpu", "--quiet", "--run-dir", "run")
    result = RESULTS[task]
    value = records(project / "run")[-1][f"test/{result.metric}"]
    assert value >= result.bound if result.higher_is_better else value <= result.bound


def test_what_a_run_says_and_leaves(project, tmp_path):
    out, _ = run(project, "--device", "cpu", "--epochs", "1", "--run-dir", tmp_path)
    for word in ["cpu, fp32", "77,754 parameters", "1,078 + 359 + 360 samples", str(tmp_path)]:
        assert word in out
    for name in ["curves.png", "predictions.png", "confusion_matrix.png"]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not there")
def test_mnist(project, tmp_path):
    run(project, "--device", "cpu", "--dataset", "mnist", "--data-dir", MNIST, "--epochs", "1", "--run-dir", tmp_path)
    assert records(tmp_path)[-1]["test/accuracy"] >= 0.985


# ----------------------------------------------------------------------------------------------------- stop and resume


def test_killed_ten_times(project, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    began = time.monotonic()
    run(project, *OPTIONS, "--run-dir", whole)
    duration = time.monotonic() - began
    draw, killed, stopped = random.Random(0), 0, 0
    for attempt in range(40):
        command = ["main.py", *OPTIONS, "--run-dir", parts, "--resume"]
        child = forks().start(project, *command, out=tmp_path / "output.txt")
        time.sleep(draw.uniform(0, 0.25 * duration))
        number = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM][attempt % 4]
        os.kill(child, number)  # which may have ended by itself, and waits to be asked for
        (code,) = forks().wait(child)
        killed += code == -signal.SIGKILL
        stopped += code == 128 + signal.SIGTERM
        if killed >= 10:
            break
    assert killed >= 10
    run(project, *OPTIONS, "--run-dir", parts, "--resume")
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)
    assert not list(parts.rglob("*.tmp.*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(project, tmp_path, number):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*FAST, "--epochs", "150"]
    run(project, *options, "--run-dir", whole)
    process = start(project, *[option for option in options if option != "--quiet"], "--run-dir", parts)
    for line in process.stdout:
        if line.startswith("epoch   3/"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"go on with: python main.py --resume --run-dir {parts}" in out
    assert "Traceback" not in err
    assert len(records(parts)) < len(records(whole))
    run(project, "--resume", "--run-dir", parts, "--quiet")
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)


def test_resume_takes_the_newest_run_or_starts_one(project, tmp_path):
    copy = render({}, tmp_path)
    for _ in range(2):
        run(copy, *FAST, "--quick", "--resume")
    assert len(list((copy / "runs").iterdir())) == 1
    run(copy, *FAST, "--quick")
    run(copy, *FAST, "--quick", "--config", next((copy / "runs").glob("*/config.json")))
    folders = list((copy / "runs").iterdir())
    assert len(folders) == 3
    assert records(folders[0]) == records(folders[1]) == records(folders[2])


def test_two_processes_cannot_share_a_folder(project, tmp_path):
    process = start(project, *FAST, "--epochs", "100000", "--run-dir", tmp_path)
    while not (tmp_path / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    _, err = run(project, *FAST, "--run-dir", tmp_path, "--resume", code=2)
    assert "in use" in err and len(err.strip().splitlines()) == 1
    process.kill()
    process.communicate()


def test_a_loss_that_is_no_number_reaches_no_checkpoint(project, tmp_path):
    _, err = run(project, *FAST, "--optimizer", "sgd", "--lr", "1e30", "--run-dir", tmp_path, code=2)
    assert re.search(r"error: the loss is (nan|inf) in step \d+ on rank 0", err)
    assert not (tmp_path / "checkpoints" / "last.pt").exists()


def test_folders_that_cannot_be_used(project, tmp_path):
    (tmp_path / "file").write_text("")
    for options in (["--run-dir", tmp_path / "file"], ["--run-dir", tmp_path / "file" / "run"]):
        _, err = run(project, *FAST, *options, code=2)
        assert err.startswith("error: cannot use ") and len(err.strip().splitlines()) == 1


def test_a_start_that_fails_leaves_no_run(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    run(project, *FAST, "--quick", "--run-dir", "runs/good")
    run(project, *FAST, "--monitor", "nonsense", code=2)
    run(project, *FAST, "--quick", "--resume")
    assert list((project / "runs").glob("*/config.json")) == [project / "runs" / "good" / "config.json"]


@pytest.mark.parametrize(("name", "target"), [("metrics.jsonl", "full"), ("predictions.png", "directory")])
def test_files_that_cannot_be_written(tmp_path, name, target):
    """A disk that is full ends the run with one line; a picture is not worth that."""
    project = render({"logger": "none"}, tmp_path)
    (project / "run").mkdir()
    if target == "full":
        (project / "run" / name).symlink_to("/dev/full")
    else:
        (project / "run" / name).mkdir()
    _, err = run(project, *FAST, "--quick", "--run-dir", "run", code=2 if target == "full" else 0)
    start = "error: cannot write to run: No space" if target == "full" else f"warning: cannot write run/{name}: Is a"
    assert err.startswith(start) and len(err.splitlines()) == 1
    assert (project / "run" / "summary.md").exists() == (target != "full")


def test_a_gpu_without_room_ends_with_one_line(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    with (project / "models.py").open("a") as file:
        file.write(
            "\n\ndef forward(*_):\n    import torch\n    raise torch.OutOfMemoryError('CUDA out of memory.')\n\n\n"
        )
        file.write("MLP.forward = forward\n")
    _, err = run(project, *FAST, "--quick", code=2)
    assert err == "error: CUDA out of memory. Try a smaller --batch-size, or --accumulation\n"


def test_profile_of_a_short_epoch(project, tmp_path):
    run(project, *FAST, "--quick", "--profile", "--run-dir", tmp_path)
    names = {event.get("name") for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert "aten::addmm" in names


# ---------------------------------------------------------------------------------------------------------- processes


def test_two_processes_train_like_one(project, tmp_path):
    options = [*FAST, "--epochs", "3", "--batch-size", "64"]
    run(project, *options, "--run-dir", tmp_path / "1")
    run(project, *options, "--run-dir", tmp_path / "2", processes=2)
    run(project, *options, "--run-dir", tmp_path / "parts", "--accumulation", "4")
    one = step_losses(tmp_path / "1")
    assert len(one) == 3 * (math.ceil(1078 / 64) - 1)  # the last step of an epoch has the epoch's record
    for other in ("2", "parts"):
        assert step_losses(tmp_path / other) == pytest.approx(one, abs=1e-5)
    best = tmp_path / "1" / "checkpoints" / "best.pt"
    run(project, "--evaluate", best, "--run-dir", tmp_path / "evaluated", "--quiet", processes=2)
    test, again = records(tmp_path / "1")[-1], records(tmp_path / "evaluated")[-1]
    assert again["test/accuracy"] == test["test/accuracy"]  # of 360 samples
    assert again["test/loss"] == pytest.approx(test["test/loss"], rel=1e-6)


def test_two_processes_stop_together_and_resume(project, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = [*OPTIONS[:3], "--epochs", "12", "--save-every", "5", "--model", "mlp"]
    run(project, *options, "--run-dir", whole, processes=2)
    process = start(project, *options, "--run-dir", parts, processes=2)
    while not (parts / "checkpoints" / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert len(records(parts)) < len(records(whole))
    run(project, *options, "--run-dir", parts, "--resume", processes=2)
    assert same_weights(whole, parts)
    assert records(whole) == records(parts)


def test_processes_that_read_files_stop_together(project, tmp_path):
    """The signal of torchrun reaches all that its processes have started, also what loads the data."""
    for label in range(2):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (20, 20), (100 * label, number, 0)).save(
                tmp_path / "images" / str(label) / f"{number}.png"
            )
    options = ["--dataset", "image_folder", "--data-dir", tmp_path / "images", "--image-size", "16", "--workers", "1"]
    options = [*FAST, "--no-quiet", *options, "--batch-size", "8", "--epochs", "100000", "--run-dir", tmp_path / "run"]
    process = start(project, *options, processes=2)
    while not (tmp_path / "run" / "checkpoints" / "last.pt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert "stopped after epoch" in out and "DataLoader worker" not in err


def test_torchrun_without_a_backend_is_refused(tmp_path):
    lone = render({"distributed": "none", "logger": "none"}, tmp_path)
    process = start(lone, *FAST, "--quick", processes=2)
    _, err = process.communicate()
    assert process.returncode == 1 and "this project trains in one process" in err


# ------------------------------------------------------------------------------------------- each choice, and the texts


@pytest.mark.parametrize("distributed", CHOICES["distributed"])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_every_choice_trains(tmp_path, task, distributed):
    """Train each task with each backend; the loggers take turns, so that each meets every backend."""
    turn = CHOICES["task"].index(task) + CHOICES["distributed"].index(distributed)
    logger = CHOICES["logger"][turn % len(CHOICES["logger"])]
    project = render({"task": task, "distributed": distributed, "logger": logger}, tmp_path)
    process = start(project, "--device", "cpu", "--quick", "--quiet", processes=1 if distributed == "none" else 2)
    out, err = process.communicate()  # started as a person does
    assert process.returncode == 0, out + err
    (config,) = (project / "runs").glob("*/config.json")  # some loggers have a place of their own beside the runs
    assert math.isfinite(records(config.parent)[-1]["test/loss"])


@pytest.mark.parametrize("task", CHOICES["task"])
def test_metrics_are_those_of_one_process(tmp_path, task):
    """Evaluate the same weights in one process and in two, which cannot divide an odd number of samples."""
    project = render({"task": task, "logger": "none"}, tmp_path)
    loader = project / "loader.py"
    assert loader.read_text().count("else len(dataset)\n") == 1
    loader.write_text(loader.read_text().replace("else len(dataset)\n", "else len(dataset) - 1 + len(dataset) % 2\n"))
    best = Path("runs/run/checkpoints/best.pt")
    run(project, "--device", "cpu", "--epochs", "1", "--quiet", "--run-dir", best.parent.parent)
    run(project, "--evaluate", best, "--run-dir", "runs/one")
    run(project, "--evaluate", best, "--run-dir", "runs/two", processes=2)
    (one,), (two,) = (records(project / "runs" / name) for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-6, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("task", CHOICES["task"])
def test_project_passes_its_own_tests(tmp_path, task):
    project = render({"task": task, "logger": "none", "distributed": "none"}, tmp_path)
    out, _ = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in out and " failed" not in out


STEP = re.compile(r"In `([\w.]+)`, (above|below|in place of) `([^`]+)`:\n\n```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("task", CHOICES["task"])
def test_how_to_modify(tmp_path, task):
    """Do what the project's README shows, to the letter."""
    project = render({"task": task, "logger": "none", "distributed": "none"}, tmp_path)
    chapter = (project / "README.md").read_text().split("## How to modify\n")[1].split("\n## ")[0]
    steps = STEP.findall(chapter)
    assert {file for file, *_ in steps} == {"utils.py", "models.py", "datasets.py"}
    assert sum(len(code.strip().splitlines()) for *_, code in steps) <= 40
    for file, where, anchor, code in steps:
        lines = (project / file).read_text().splitlines()
        (number,) = [number for number, line in enumerate(lines) if line.strip().startswith(anchor)]
        gap = ["", ""] if where == "above" and not lines[number].startswith(" ") else []
        first, last = {"above": (number, number), "below": (number + 1, number + 1)}.get(where, (number, number + 1))
        lines[first:last] = [*code.rstrip("\n").splitlines(), *gap]
        (project / file).write_text("\n".join(lines) + "\n")
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "--no-cache", "."], cwd=project, check=True)
    (command,) = re.findall(r"```bash\npython (main.py .*)\n```", chapter)
    python(project, *command.split(), "--device", "cpu")
    (folder,) = (project / "runs").iterdir()
    epochs = [record for record in records(folder) if "val/loss" in record]
    assert epochs[-1]["train/loss"] < epochs[0]["train/loss"]


def test_example_runs(tmp_path):
    project = render({"hardware": "cpu"}, tmp_path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for script in ("cpu", "resume", "evaluate", "two_processes"):
        subprocess.run([f"example_runs/{script}.sh", "--quick"], cwd=project, env=environment, check=True)
    assert len(list((project / "runs").iterdir())) == 3
