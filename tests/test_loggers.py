"""Each logger really runs, without a network, and is read back with its package's own files; a broken one harms nothing."""

import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from rendering import CHOICES, render

LOGGERS = [logger for logger in CHOICES["logger"] if logger != "none"]
OPTIONS = ["--device", "cpu", "--quiet", "--model", "mlp", "--log-every", "5"]
ONLINE = re.compile(r"(WANDB|MLFLOW|TRACKIO|COMET|CLEARML|SWANLAB)_")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not ONLINE.match(name)} | {"OMP_NUM_THREADS": "1"}


class Shown(NamedTuple):
    """What a logger has of a run."""

    scalars: dict[str, list[tuple[int, float]]]
    options: dict[str, str]
    pictures: set[str]


# -------------------------------------------------------------------------------- what each logger holds of its only run


def read_tensorboard(folder: Path) -> Shown:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in tags["scalars"]}
    text = events.Tensors("options/text_summary")[-1].tensor_proto.string_val[0].decode()
    return Shown(scalars, dict(line.strip().split(": ", 1) for line in text.splitlines()), set(tags["images"]))


def read_wandb(folder: Path) -> Shown:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, position, parts = path.read_bytes(), 7, b""  # a LevelDB log behind 7 bytes
    scalars, options, pictures = defaultdict(list), {}, set()
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # a record's part does not begin that near to the end of a block
            position += 32768 - position % 32768
            continue
        size, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind not in (1, 4):  # whole, or the last part
            continue
        record, parts = Record.FromString(parts), b""
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for update in (*record.config.update, *record.run.config.update):
            options[update.key] = json.loads(update.value_json)
        for name, value in items.items():
            if isinstance(value, dict):
                pictures.add(name)
            elif name != "step" and not name.startswith("_"):
                scalars[name].append((items["step"], value))
    return Shown(scalars, options, pictures)


def read_mlflow(folder: Path) -> Shown:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    (run,) = [run for run in runs if run.info.run_name == folder.name]
    assert run.info.status == "FINISHED"
    names = run.data.metrics
    history = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    scalars = {name: sorted((metric.step, metric.value) for metric in metrics) for name, metrics in history.items()}
    files = client.list_artifacts(run.info.run_id, "images")
    return Shown(scalars, run.data.params, {Path(file.path).name.split("+")[0] for file in files})


def read_trackio(folder: Path) -> Shown:
    with sqlite3.connect(folder.parent / "trackio" / "my_project.db") as database:
        query = "select run_id, step, metrics from metrics where run_name like ? order by id"
        rows = list(database.execute(query, [f"{folder.name}-%"]))
        (config,) = database.execute("select config from configs where run_id = ?", [rows[0][0]]).fetchone()
    assert len({run for run, *_ in rows}) == 1
    scalars, pictures = defaultdict(list), set()
    for _, step, metrics in rows:
        for name, value in json.loads(metrics).items():
            if isinstance(value, dict):
                pictures.add(name)
            else:
                scalars[name].append((step, value))
    return Shown(scalars, json.loads(config), pictures)


def read_comet(folder: Path) -> Shown:
    (path,) = (folder / "comet").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        messages = [json.loads(line) for line in archive.read("messages.json").splitlines()]
    scalars, options, pictures = defaultdict(list), {}, set()
    for payload in [message["payload"] for message in messages]:
        if metric := payload.get("metric"):
            scalars[metric["metricName"]].append((metric["step"], metric["metricValue"]))
        if param := payload.get("param"):
            options[param["paramName"]] = param["paramValue"]
        if "figName" in payload.get("additional_params", {}):
            pictures.add(payload["additional_params"]["figName"])
    return Shown(scalars, options, pictures)


def read_clearml(folder: Path) -> Shown:
    (path,) = (folder / "clearml" / "offline").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("metrics.jsonl").splitlines()
        task = json.loads(archive.read("task.json"))
    scalars, pictures = defaultdict(list), set()
    for event in [event for line in lines for event in json.loads(line)]:
        if event["type"] == "training_stats_scalar":
            name = "/".join(dict.fromkeys([event["metric"], event["variant"]]))
            scalars[name].append((event["iter"], event["value"]))
        else:
            pictures.add(event["variant"])
    return Shown(scalars, {k: v["value"] for k, v in task["hyperparams"]["options"].items()}, pictures)


def read_swanlab(folder: Path) -> Shown:
    home = folder.parent / "swanlab"
    with sqlite3.connect(home / "runs.swanlab") as database:
        query = "select id, run_id from experiment where name like ?"  # a second one would be called …-2
        ((number, run),) = list(database.execute(query, [f"{folder.name}%"]))
        tags = list(database.execute("select name, folder, type from tag where experiment_id = ?", [number]))
    assert len(list(home.glob(f"run-*-{run.split('-')[-1]}"))) == 1
    scalars, pictures = {}, set()
    for name, directory, kind in tags:
        lines = [json.loads(line) for path in (home / run / "logs" / directory).glob("*.log") for line in path.open()]
        if kind == "line":
            scalars[name] = sorted((line["index"], line["data"]) for line in lines)
        else:
            pictures.add(name)
    config = yaml.safe_load((home / run / "files" / "config.yaml").read_text())
    return Shown(scalars, {name: entry["value"] for name, entry in config.items()}, pictures)


READERS: dict[str, Callable[[Path], Shown]] = {
    name: globals()[f"read_{name}"] for name in LOGGERS
}  # a new logger needs a reader here


# --------------------------------------------------------------------------------------------------------------- running


@pytest.fixture(scope="module", params=LOGGERS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one of the loggers; the folder above it has the logger's name."""
    return render({"logger": request.param}, tmp_path_factory.mktemp("loggers") / request.param)


def start(project: Path, *options: object, processes: int = 1) -> subprocess.Popen:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "main.py", *map(str, options)]
    pipe, environment = subprocess.PIPE, ENVIRONMENT | {"HOME": str(project.parent)}
    return subprocess.Popen(command, cwd=project, text=True, stdout=pipe, stderr=pipe, env=environment)


def run(project: Path, *options: object, processes: int = 1) -> str:
    """Run main.py to its end, and return what it complained of."""
    process = start(project, *options, processes=processes)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert not out  # with --quiet
    return err


def interrupt(project: Path, folder: Path, number: int) -> int:
    """Send a signal to a run when its logger has taken some records; return how many epochs are worth while."""
    process = start(project, *OPTIONS, "--epochs", 10**6, "--save-every", "7", "--run-dir", folder)
    taken = project / folder / "logger_records.txt"
    while not taken.exists() or len(taken.read_text().splitlines()) < 10:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    assert not out + err
    return records(project / folder)[-1]["epoch"] + 2


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def points(scalars: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """Return what must be equal: TensorBoard rounds, and only the last epoch's number comes twice, with the test."""
    return {
        name: [
            (step, pytest.approx(value, rel=1e-6))
            for step, value in (dict(series).items() if name == "epoch" else series)
        ]
        for name, series in scalars.items()
        if name != "samples_per_second" and not name.startswith(("sys.", "process "))
    }


def expected(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars that metrics.jsonl holds."""
    scalars = defaultdict(list)
    for record in records(folder):
        for name, value in record.items():
            if name != "step":
                scalars[name].append((record["step"], value))
    return scalars


def same(shown: Shown, folder: Path) -> None:
    found, wanted = points(shown.scalars), points(expected(folder))
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert [(step, value.expected) for step, value in found[name]] == wanted[name], name


def test_every_logger_has_a_reader():
    assert READERS.keys() == set(LOGGERS)


def test_run_in_two_processes_is_one_run(project):
    err = run(project, *OPTIONS, "--epochs", "2", "--run-dir", "runs/whole", processes=2)
    assert "warning" not in err and project.parent.name not in err.lower().replace(str(project).lower(), "")
    folder = project / "runs" / "whole"
    shown = READERS[project.parent.name](folder)
    same(shown, folder)
    assert len(shown.scalars["test/loss"]) == 1
    options = json.loads((folder / "config.json").read_text())
    assert options.items() and all(str(shown.options[name]) == str(value) for name, value in options.items())
    assert {"curves", "predictions", "confusion_matrix"} <= shown.pictures
    home = {path.name for path in project.parent.iterdir()} - {project.name, ".cache", ".config"}
    assert not home, "something was written outside of the project"


def test_stopped_run_goes_on_as_the_same_run(project):
    epochs = interrupt(project, Path("runs/stopped"), signal.SIGTERM)
    assert not run(project, "--resume", "--run-dir", "runs/stopped", "--epochs", epochs)
    assert not run(project, "--resume", "--run-dir", "runs/stopped")  # tests again
    same(READERS[project.parent.name](project / "runs" / "stopped"), project / "runs" / "stopped")


def test_killed_run_shows_nothing_twice(project):
    epochs = interrupt(project, Path("runs/killed"), signal.SIGKILL)
    folder = project / "runs" / "killed"
    lost = records(folder)[-1]["step"]
    assert not run(project, "--resume", "--run-dir", folder, "--epochs", epochs)
    shown, wanted = READERS[project.parent.name](folder), points(expected(folder))
    for name, series in points(shown.scalars).items():
        found = [(step, value.expected) for step, value in series]
        assert all(point in wanted[name] for point in found), name
        assert len(found) == len(set(found))
        assert [point for point in found if point[0] > lost] == [point for point in wanted[name] if point[0] > lost], (
            name
        )
