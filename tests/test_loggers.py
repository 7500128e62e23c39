"""Each logger really runs, without a network, and what it wrote is read back; a broken one harms nothing."""

import json
import os
import re
import signal
import sqlite3
import struct
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
from running import forks, places

LOGGERS = [logger for logger in CHOICES["logger"] if logger != "none"]
OPTIONS = ["--device", "cpu", "--model", "mlp", "--log-every", "5", "--schedule", "constant", "--warmup", "0"]
ONLINE = re.compile(r"(WANDB|MLFLOW|TRACKIO|COMET|CLEARML|SWANLAB)_")


class Shown(NamedTuple):
    """What a logger has of a run."""

    scalars: dict[str, list[tuple[int, float]]]
    options: dict[str, str]
    pictures: set[str]


# ------------------------------------------------------------ what each logger holds of its only run


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
        items = {tuple(item.nested_key) or (item.key,): json.loads(item.value_json) for item in record.history.item}
        for update in (*record.config.update, *record.run.config.update):
            options[update.key] = json.loads(update.value_json)
        for (name, *inner), value in items.items():
            if inner:
                pictures.add(name)
            elif name != "step" and not name.startswith("_"):
                scalars[name].append((items[("step",)], value))
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


READERS: dict[str, Callable[[Path], Shown]] = {  # a new logger needs one here
    name.removeprefix("read_"): function for name, function in list(globals().items()) if name.startswith("read_")
}


# ------------------------------------------------------------ running


@pytest.fixture(scope="module", params=LOGGERS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one of the loggers; the folder above it has the logger's name."""
    return render({"logger": request.param}, tmp_path_factory.mktemp("loggers") / request.param)


@pytest.fixture(scope="module", autouse=True)
def offline():
    """Nothing in the environment tells a logger of a server."""
    with pytest.MonkeyPatch.context() as environment:
        for name in filter(ONLINE.match, list(os.environ)):
            environment.delenv(name)
        yield


def start(project: Path, *options: object, **environment: str) -> int:
    """Start a run, and return its process id; what it prints goes into output.txt beside the project."""
    environment |= {"HOME": str(project.parent / "home")}
    return forks().start(project, "main.py", *options, "--quiet", out=project.parent / "output.txt", **environment)


def end(project: Path, *children: int, code: int = 0) -> str:
    """Check how a run ends, and return what it has printed."""
    found, output = forks().wait(*children), project.parent / "output.txt"
    text = output.read_text()
    output.write_text("")
    assert found == [code] * len(children), text
    return text


def run(project: Path, *options: object) -> str:
    return end(project, start(project, *options))


def interrupt(project: Path, folder: Path, number: int, code: int) -> int:
    """Send a signal to a run when its logger has taken some records; return up to which epoch to go on."""
    child = start(project, *OPTIONS, "--epochs", 10**6, "--save-every", 7, "--run-dir", folder)
    while len("".join(path.read_text() for path in folder.glob("logger_records*.txt")).splitlines()) < 10:
        assert forks().poll(child) is None, end(project, child)
        time.sleep(0.01)
    os.kill(child, number)
    assert end(project, child, code=code) == ""
    return records(folder)[-1]["epoch"] + 1


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def expected(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars that metrics.jsonl holds."""
    scalars = defaultdict(list)
    for record in records(folder):
        for name, value in record.items():
            if name != "step":
                scalars[name].append((record["step"], value))
    return comparable(scalars)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["model"]


def comparable(scalars: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """Return scalars as TensorBoard rounds them; not the number of the epoch, which comes again with the test."""
    own = ("epoch", "samples_per_second", "seconds", "process duration")
    return {
        name: [(step, struct.unpack("f", struct.pack("f", value))[0]) for step, value in series]
        for name, series in scalars.items()
        if name not in own and not name.startswith("sys.")
    }


def test_every_logger_has_a_reader():
    assert READERS.keys() == set(LOGGERS)


def train_in_two(project: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Train in two processes, which print nothing, and return the weights."""
    options = [*OPTIONS, "--epochs", 2, "--run-dir", folder]
    children = [start(project, *options, **place) for place in places(2)]
    assert end(project, *children) == ""
    return weights(folder)


@pytest.fixture(scope="module")
def weights_of_two(tmp_path_factory):
    """What two processes train without a logger."""
    project = render({"logger": "none"}, tmp_path_factory.mktemp("two"))
    return train_in_two(project, project / "runs" / "run")


def test_two_processes_leave_one_whole_run(project, weights_of_two):
    folder = project / "runs" / "whole"
    found = train_in_two(project, folder)
    assert all(torch.equal(found[name], weights_of_two[name]) for name in weights_of_two)
    shown = READERS[project.parent.name](folder)
    assert comparable(shown.scalars) == expected(folder)
    assert len(shown.scalars["test/loss"]) == 1
    options = json.loads((folder / "config.json").read_text())
    assert all(str(shown.options[name]) == str(value) for name, value in options.items())
    assert {"curves", "predictions", "confusion_matrix"} <= shown.pictures
    assert not [path for path in project.parent.rglob("home/*/*") if project.parent.name in str(path.name)]


def test_a_stopped_run_goes_on_as_the_same_run(project):
    folder = project / "runs" / "stopped"
    epochs = interrupt(project, folder, signal.SIGTERM, 128 + signal.SIGTERM)
    assert run(project, "--resume", "--run-dir", folder, "--epochs", epochs) == ""
    assert run(project, "--resume", "--run-dir", folder) == ""  # only tests again
    assert comparable(READERS[project.parent.name](folder).scalars) == expected(folder)


@pytest.mark.parametrize("project", ["tensorboard", "mlflow", "trackio", "comet"], indirect=True)
def test_a_killed_run_shows_nothing_twice(project):
    folder = project / "runs" / "killed"
    epochs = interrupt(project, folder, signal.SIGKILL, -signal.SIGKILL)
    lost = records(folder)[-1]["step"]  # up to here, something that the package had not yet written may be missing
    assert run(project, "--resume", "--run-dir", folder, "--epochs", epochs) == ""
    found, wanted = comparable(READERS[project.parent.name](folder).scalars), expected(folder)
    assert {name: [point for point in found[name] if point[0] > lost] for name in wanted} == {
        name: [point for point in wanted[name] if point[0] > lost] for name in wanted
    }
    for name, series in found.items():
        assert set(series) <= set(wanted[name]) and len(series) == len(set(series)), name


# ------------------------------------------------------------ broken loggers

BREAKS = "def broken(*_):\n    raise OSError('no more')\n\n\n"
HANGS = "def broken(*_):\n    while True:\n        time.sleep(1)\n\n\n"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A project that logs nowhere, and the weights that it trains."""
    project = render({"logger": "none"}, tmp_path_factory.mktemp("healthy"))
    assert run(project, *OPTIONS, "--epochs", 1, "--run-dir", "runs/run") == ""
    return weights(project / "runs" / "run")


@pytest.mark.parametrize(
    ("code", "warning"),
    [
        (BREAKS + "Writer.__init__ = broken", r"the logger failed, .*no more"),
        (BREAKS + "Writer.scalars = broken", r"the logger failed, .*no more"),
        (BREAKS + "Writer.finish = broken", r"the logger failed, .*no more"),
        (HANGS + "Writer.__init__ = broken", r"the logger was not done 1 s after the end"),
        (HANGS + "Writer.scalars = broken\nthreading.Thread(target=broken).start()", r"the logger was not done 1 s"),
        ("sys.modules['tensorboard'] = None", r"the logger needs a package, .*: pip install tensorboard$"),
        ("Path('runs/run').mkdir(parents=True)\nPath('runs/run/tensorboard').touch()", r"the logger failed, "),
    ],
)
def test_a_broken_logger_harms_nothing(healthy, tmp_path, code, warning):
    project = render({}, tmp_path)
    file = project / "dashboard.py"
    text = file.read_text()
    assert text.count("seconds: float = 30") == text.count("seconds: float = 10") == 1
    text = text.replace("seconds: float = 30", "seconds: float = 1").replace(
        "seconds: float = 10", "seconds: float = 1"
    )
    file.write_text(f"{text}\n\n{code}\n")
    lines = run(project, *OPTIONS, "--epochs", 1, "--run-dir", "runs/run").splitlines()
    assert len(lines) == 1 and re.match(f"warning: {warning}", lines[0]), lines
    found = weights(project / "runs" / "run")
    assert found.keys() == healthy.keys() and all(torch.equal(found[name], healthy[name]) for name in found)


@pytest.mark.parametrize(("logger", "package"), [("comet", "comet_ml"), ("swanlab", "swanlab"), ("wandb", "wandb")])
def test_a_missing_package_is_named(tmp_path, logger, package):
    project = render({"logger": logger}, tmp_path)
    with (project / "dashboard.py").open("a") as file:
        file.write(f"\n\nsys.modules['{package}'] = None\n")
    output = run(project, *OPTIONS, "--quick", "--run-dir", "runs/run")
    assert re.fullmatch(rf"warning: the logger needs a package, .*: pip install {package}\n", output)
