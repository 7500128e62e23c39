"""Trackers: each runs offline and is read back with its reader; a broken one harms nothing."""

import json
import os
import re
import signal
import sqlite3
import struct
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from rendering import CHOICES, render
from running import PROGRAMS, forks, places, python, read_checkpoint, read_records, rest_is_full

TRACKERS = [logger for logger in CHOICES["logger"] if logger != "none"]
OPTIONS = ["--device", "cpu", "--model", "mlp", "--log-every", "5"]
OPTIONS += ["--schedule", "constant", "--warmup-ratio", "0"]
ONLINE = re.compile(r"(WANDB|MLFLOW|TRACKIO|COMET|CLEARML|SWANLAB)_")
Series = dict[str, list[tuple[int, float]]]


class Shown(NamedTuple):
    """What a tracker has of a run."""

    scalars: Series  # by step
    options: dict[str, Any]
    figures: set[str]
    finals: dict[str, float]  # one value of each metric, as in its table of runs
    files: set[str]


def last_values(scalars: Series) -> dict[str, float]:
    return {name: series[-1][1] for name, series in scalars.items()}


# ----------------------------------------------------------- what each tracker has of its only run


def read_tensorboard(run_dir: Path) -> Shown:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import (
        SESSION_START_INFO_TAG,
        parse_session_start_info_plugin_data,
    )

    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    events = EventAccumulator(str(run_dir), size_guidance=sizes)
    events.Reload()
    tags = events.Tags()
    scalars = {}
    for name in tags["scalars"]:
        scalars[name] = [(event.step, event.value) for event in events.Scalars(name)]
    content = events.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    session = parse_session_start_info_plugin_data(content)
    assert session.group_name == run_dir.name  # the name of its row
    options = {}
    for name, value in session.hparams.items():
        options[name] = getattr(value, value.WhichOneof("kind"))
    texts = {f"{name.removesuffix('/text_summary')}.md" for name in tags["tensors"]}
    return Shown(scalars, options, set(tags["images"]), last_values(scalars), texts)


def read_wandb(run_dir: Path) -> Shown:
    (path,) = run_dir.glob("tracker/wandb/offline-run-*/*.wandb")
    scalars, options, figures, finals = defaultdict(list), {}, set(), {}
    for record in wandb_records(path.read_bytes()):
        items = {}
        for item in record.history.item:
            items[tuple(item.nested_key) or (item.key,)] = json.loads(item.value_json)
        for update in (*record.config.update, *record.run.config.update):
            options[update.key] = json.loads(update.value_json)
        for update in record.summary.update:
            finals[update.key or update.nested_key[0]] = json.loads(update.value_json)
        for (name, *inner), value in items.items():
            if inner:
                figures.add(name)
            elif name != "step" and not name.startswith("_"):
                scalars[name].append((items[("step",)], value))
    files = {file.name for file in path.parent.glob("files/*")}
    return Shown(scalars, options, figures, finals, files)


def wandb_records(data: bytes) -> list[Any]:
    """Return the records in a LevelDB log behind 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    records, position, parts = [], 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:  # no part of a record begins so near to a block's end
            position += 32768 - position % 32768
            continue
        size, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


def read_mlflow(run_dir: Path) -> Shown:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run_dir.parent / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    (run,) = [run for run in runs if run.info.run_name == run_dir.name]
    assert run.info.status == "FINISHED" and run.info.end_time > run.info.start_time
    assert run.data.tags["mlflow.source.name"] == "main.py" and run.data.tags["mlflow.user"]
    scalars = {}
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        scalars[name] = sorted((metric.step, metric.value) for metric in history)
    images = client.list_artifacts(run.info.run_id, "images")
    figures = {Path(file.path).name.split("+")[0] for file in images}
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    return Shown(scalars, run.data.params, figures, run.data.metrics, files)


def read_trackio(run_dir: Path) -> Shown:
    with sqlite3.connect(run_dir.parent / "trackio" / "my_project.db") as database:
        query = "select run_id, step, metrics from metrics where run_name like ? order by id"
        rows = list(database.execute(query, [f"{run_dir.name}-%"]))
        query = "select config from configs where run_id = ?"
        (config,) = database.execute(query, [rows[0][0]]).fetchone()
        query = "select manifest from artifact_versions where producer_run_id = ? order by id"
        manifests = list(database.execute(query, [rows[0][0]]))
    assert len({run for run, *_ in rows}) == 1
    scalars, figures, files = defaultdict(list), set(), set()
    for _, step, metrics in rows:
        for name, value in json.loads(metrics).items():
            if isinstance(value, dict):
                figures.add(name)
            else:
                scalars[name].append((step, value))
    for (manifest,) in manifests:
        files |= {file["path"] for file in json.loads(manifest)}
    return Shown(scalars, json.loads(config), figures, last_values(scalars), files)


def read_comet(run_dir: Path) -> Shown:
    (path,) = (run_dir / "tracker").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("messages.json").splitlines()
    scalars, options, figures, files = defaultdict(list), {}, set(), set()
    for line in lines:
        payload = json.loads(line)["payload"]
        if metric := payload.get("metric"):
            scalars[metric["metricName"]].append((metric["step"], metric["metricValue"]))
        for kind in ("param", "params"):
            if param := payload.get(kind):
                options[param["paramName"]] = param["paramValue"]
        asset = payload.get("additional_params", {})
        if "figName" in asset:
            figures.add(asset["figName"])
        if "fileName" in asset:
            files.add(asset["fileName"])
    return Shown(scalars, options, figures, last_values(scalars), files)


def read_clearml(run_dir: Path) -> Shown:
    (path,) = (run_dir / "tracker" / "offline").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("metrics.jsonl").splitlines()
        task = json.loads(archive.read("task.json"))
    scalars, figures, finals = defaultdict(list), set(), {}
    for event in [event for line in lines for event in json.loads(line)]:
        if event["type"] != "training_stats_scalar":
            figures.add(event["variant"])
        elif event["iter"] < 0:  # the table of single values
            finals[event["variant"]] = event["value"]
        else:
            name = "/".join(dict.fromkeys([event["metric"], event["variant"]]))
            scalars[name].append((event["iter"], event["value"]))
    options = {name: entry["value"] for name, entry in task["hyperparams"]["options"].items()}
    files = {artifact["key"] for artifact in task["execution"].get("artifacts", [])}
    return Shown(scalars, options, figures, finals, files)


def read_swanlab(run_dir: Path) -> Shown:
    home = run_dir.parent / "swanlab"
    with sqlite3.connect(home / "runs.swanlab") as database:
        query = "select id, run_id from experiment where name like ?"  # a second is called …-2
        ((number, run),) = list(database.execute(query, [f"{run_dir.name}%"]))
        query = "select name, folder, type, sort from tag where experiment_id = ?"
        tags = list(database.execute(query, [number]))
    assert len(list(home.glob(f"run-*-{run.split('-')[-1]}"))) == 1
    scalars, figures, finals = {}, set(), {}
    for name, folder, kind, sort in tags:
        if kind == "line":
            scalars[name] = swanlab_series(home / run / "logs" / folder)
            # Its Tables look for a metric's folder by this number.
            finals[name] = swanlab_series(home / run / "logs" / str(sort))[-1][1]
        else:
            figures.add(name)
    config = yaml.safe_load((home / run / "files" / "config.yaml").read_text())
    options = {name: entry["value"] for name, entry in config.items()}
    files = {path.name for path in (home / run / "files").iterdir()}
    return Shown(scalars, options, figures, finals, files)


def swanlab_series(folder: Path) -> list[tuple[int, float]]:
    points = []
    for path in folder.glob("*.log"):
        for line in path.read_text().splitlines():
            point = json.loads(line)
            points.append((point["index"], point["data"]))
    return sorted(points)


READERS = {  # a new tracker needs one here
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
    "trackio": read_trackio,
    "comet": read_comet,
    "clearml": read_clearml,
    "swanlab": read_swanlab,
}


# --------------------------------------------------------------------------------------- running


@pytest.fixture(scope="module", params=TRACKERS)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one of the trackers; the folder above it has the tracker's name."""
    folder = tmp_path_factory.mktemp("trackers") / request.param
    return render({"logger": request.param}, folder)


@pytest.fixture(scope="module", autouse=True)
def offline():
    """Nothing in the environment names a server."""
    with pytest.MonkeyPatch.context() as environment:
        for name in filter(ONLINE.match, list(os.environ)):
            environment.delenv(name)
        yield


# Set, but empty: as if they were not.
EMPTY = dict.fromkeys(["WANDB_MODE", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"], "")
EMPTY |= dict.fromkeys(["COMET_API_KEY", "CLEARML_API_ACCESS_KEY", "SWANLAB_MODE"], "")
EMPTY |= {"TRACKIO_SPACE_ID": ""}


def start_run(project: Path, *options: object, program: Any = "main.py", **environment: str) -> int:
    """Start a run and return its process id; its output goes into a file beside the project."""
    environment |= {"HOME": str(project.parent / "home"), **EMPTY}
    out = project.parent / "output.txt"
    return forks().start(project, program, *options, "--quiet", out=out, **environment)


def end_run(project: Path, *children: int, code: int = 0) -> str:
    """Check the exit code of a run, and return its output."""
    found, output = forks().wait(*children), project.parent / "output.txt"
    text = output.read_text()
    output.write_text("")
    assert found == [code] * len(children), text
    return text


def run_main(project: Path, *options: object) -> str:
    return end_run(project, start_run(project, *options))


def interrupt(project: Path, run_dir: Path, number: int, code: int) -> int:
    """Send a signal to a run when its tracker has some records; return how far to resume it."""
    child = start_run(project, *OPTIONS, "--epochs", 10**6, "--save-every", 7, "--run-dir", run_dir)
    while sum(len(path.read_text().splitlines()) for path in run_dir.glob("tracker_rec*")) < 10:
        assert forks().poll(child) is None, end_run(project, child)
        time.sleep(0.01)
    os.kill(child, number)
    output = end_run(project, child, code=code)
    # After so short epochs, a slow tracker may have more to do than a stop waits for.
    late = r"(warning: the tracker did not finish in 3 s; .*\n)?"
    assert re.fullmatch(late + r"(ended by SIGTERM\n)?", output), output
    return read_records(run_dir)[-1]["epoch"] + 1


def expected(run_dir: Path) -> Series:
    """Return the scalars in metrics.jsonl."""
    scalars = defaultdict(list)
    for record in read_records(run_dir):
        for name, value in record.items():
            if name not in ("event", "step"):
                scalars[name].append((record["step"], value))
    return comparable(scalars)


def comparable(scalars: Series) -> Series:
    """Return the scalars that metrics.jsonl and a tracker share, rounded as TensorBoard does."""
    own = re.compile(r"epoch|samples_per_second|seconds|process duration|sys\..*|best/.*")
    rounded = {}
    for name, series in scalars.items():
        if not own.fullmatch(name):
            rounded[name] = [(step, as_float32(value)) for step, value in series]
    return rounded


def as_float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_tracker_has_a_reader():
    assert READERS.keys() == set(TRACKERS)


def train_in_two(project: Path, run_dir: Path) -> dict[str, torch.Tensor]:
    """Train in two processes, which print nothing, and return the weights."""
    options = [*OPTIONS, "--epochs", 2, "--run-dir", run_dir]
    children = [start_run(project, *options, **place) for place in places(2)]
    assert end_run(project, *children) == ""
    return read_checkpoint(run_dir)["model"]


@pytest.fixture(scope="module")
def weights_of_two(tmp_path_factory):
    """The weights that two processes train without a tracker."""
    project = render({"logger": "none"}, tmp_path_factory.mktemp("two"))
    return train_in_two(project, project / "runs" / "run")


def test_two_processes_leave_one_whole_run(project, weights_of_two):
    tracker = project.parent.name
    run_dir = project / "runs" / "whole"
    assert equal(train_in_two(project, run_dir), weights_of_two)
    shown = READERS[tracker](run_dir)
    assert comparable(shown.scalars) == expected(run_dir)
    assert len(shown.scalars["test/loss"]) == 1
    options = json.loads((run_dir / "config.json").read_text())
    for name, value in options.items():
        assert shown.options[name] in (value, str(value)), name
    assert "--run-dir" in shown.options["run_command"] and shown.options["run_torch"]
    assert {"curves", "predictions", "confusion_matrix"} <= shown.figures
    test = read_records(run_dir)[-1]
    for name in ("loss", "accuracy"):
        assert as_float32(shown.finals[f"test/{name}"]) == as_float32(test[f"test/{name}"])
        assert f"best/val/{name}" in shown.finals
    assert "summary.md" in shown.files
    assert tracker == "tensorboard" or {"config.json", "curves.png"} <= shown.files
    assert not [path for path in project.parent.rglob("home/*/*") if tracker in path.name]


# TensorBoard's file is continued; SwanLab's run, and most others, is written anew.
STOPPED = ["tensorboard", "swanlab", "wandb", "mlflow", "trackio", "comet", "clearml"]


@pytest.mark.parametrize("project", rest_is_full(STOPPED, lane=2), indirect=True)
def test_a_stopped_run_is_resumed_as_the_same_run(project):
    run_dir = project / "runs" / "stopped"
    epochs = interrupt(project, run_dir, signal.SIGTERM, 128 + signal.SIGTERM)
    assert run_main(project, "--resume", "--run-dir", run_dir, "--epochs", epochs) == ""
    sent = run_dir / "tracker_records.txt"
    if sent.exists():  # as if the run had been killed before the summary was sent
        lines = sent.read_text().splitlines(keepends=True)
        sent.write_text("".join(line for line in lines if not line.startswith("summary")))
    assert run_main(project, "--resume", "--run-dir", run_dir) == ""  # only tests again
    shown = READERS[project.parent.name](run_dir)
    assert comparable(shown.scalars) == expected(run_dir)
    if project.parent.name != "mlflow":  # its parameters cannot change
        assert shown.options["epochs"] in (epochs, str(epochs))


KILLED = ["tensorboard", "mlflow", "trackio", "comet"]


@pytest.mark.parametrize("project", rest_is_full(KILLED), indirect=True)
def test_a_killed_run_shows_nothing_twice(project):
    run_dir = project / "runs" / "killed"
    epochs = interrupt(project, run_dir, signal.SIGKILL, -signal.SIGKILL)
    lost = read_records(run_dir)[-1]["step"]  # up to here, the package may not have written all
    assert run_main(project, "--resume", "--run-dir", run_dir, "--epochs", epochs) == ""
    found = comparable(READERS[project.parent.name](run_dir).scalars)
    wanted = expected(run_dir)
    for name, series in wanted.items():
        later = [point for point in found[name] if point[0] > lost]
        assert later == [point for point in series if point[0] > lost], name
    for name, series in found.items():
        assert set(series) <= set(wanted[name]) and len(series) == len(set(series)), name


def test_mlflow_takes_odd_names(tmp_path):
    """Of folders and of metrics, two of which must not become one; options may change."""
    project = render({"logger": "mlflow"}, tmp_path)
    python(project, PROGRAMS / "odd_mlflow.py")


# ------------------------------------------------------------------------------- broken trackers


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """The weights of a project without a tracker."""
    project = render({"logger": "none"}, tmp_path_factory.mktemp("healthy"))
    assert run_main(project, *OPTIONS, "--epochs", 1, "--run-dir", "runs/run") == ""
    return read_checkpoint(project / "runs" / "run")["model"]


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory):
    return render({}, tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize(
    ("how", "method", "warning"),
    [
        ("raise", "start", "the tracker failed, .*no more"),
        ("raise", "log_scalars", "the tracker refused a record, .*no more"),
        ("raise", "log_summary", "the tracker refused a record, .*no more"),
        ("raise", "finish", "the tracker failed, .*no more"),
        ("hang", "start", "the tracker did not finish in 1 s"),
        ("hang", "log_figure", "the tracker did not finish in 1 s"),
        ("lack", "tensorboard", "the tracker needs a package, .*: pip install tensorboard$"),
    ],
)
def test_a_broken_tracker_harms_nothing(healthy, tensorboard, how, method, warning):
    run_dir = tensorboard / "runs" / f"{how}-{method}"
    options = [how, method, 1, *OPTIONS, "--epochs", 1, "--run-dir", run_dir]
    child = start_run(tensorboard, *options, program=PROGRAMS / "break_tracker.py")
    lines = end_run(tensorboard, child).splitlines()
    assert re.match(f"warning: {warning}", lines[0]), lines
    if method == "log_scalars":  # which is called more often than a tracker may fail
        assert re.match("warning: the tracker failed, .*no more", lines.pop())
    assert len(lines) == 1
    assert equal(read_checkpoint(run_dir)["model"], healthy)


def test_a_stop_waits_only_seconds_for_a_tracker_that_hangs(tensorboard):
    run_dir = tensorboard / "runs" / "stopped"
    options = ["hang", "start", 0, *OPTIONS, "--epochs", 10**6, "--run-dir", run_dir]
    child = start_run(tensorboard, *options, program=PROGRAMS / "break_tracker.py")
    while not (run_dir / "metrics.jsonl").exists() or not read_records(run_dir):
        assert forks().poll(child) is None, end_run(tensorboard, child)
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    began = time.monotonic()
    output = end_run(tensorboard, child, code=128 + signal.SIGTERM)
    assert time.monotonic() - began < 20  # 30 s are for a run that ends by itself
    assert output.count("\n") == 2 and "did not finish in 3 s" in output


@pytest.mark.parametrize(
    ("logger", "package"), [("comet", "comet_ml"), ("swanlab", "swanlab"), ("wandb", "wandb")]
)
def test_a_missing_package_is_named(tmp_path, logger, package):
    project = render({"logger": logger}, tmp_path)
    options = ["lack", package, 0, *OPTIONS, "--quick", "--run-dir", "runs/run"]
    child = start_run(project, *options, program=PROGRAMS / "break_tracker.py")
    warning = rf"warning: the tracker needs a package, .*: pip install {package}\n"
    assert re.fullmatch(warning, end_run(project, child))


# ------------------------------------------------------------------------- the background thread


def feed(project: Path, resumes: str, records: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the calls that a tracker gets in a run with these records."""
    program = PROGRAMS / "feed_tracker.py"
    out = project.parent / "calls.txt"
    out.unlink(missing_ok=True)
    child = forks().start(project, program, "runs/fed", resumes, json.dumps(records), out=out)
    assert forks().wait(child) == [0], out.read_text()
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("resumes", ["resumes", ""])
def test_a_resumed_run_sends_what_the_tracker_lacks(tmp_path, resumes):
    from PIL import Image

    project = render({}, tmp_path)
    run_dir = project / "runs" / "fed"
    run_dir.mkdir(parents=True)
    Image.new("RGBA", (3, 2), "white").save(run_dir / "figure.png")
    records = [
        {"event": "step", "epoch": 1, "step": 5, "step/loss": 3.0, "step/lr": None},
        {"event": "epoch", "epoch": 1, "step": 9, "val/loss": float("nan"), "seconds": 1.0},
        {"event": "epoch", "epoch": 2, "step": 18, "val/loss": None, "train/loss": 2},
    ]
    test = {"event": "test", "epoch": 2, "step": 18, "test/loss": 1.0, "seconds": 2.0}
    scalars = [
        [5, {"step/loss": 3.0}],
        [9, {"epoch": 1}],
        [18, {"epoch": 2, "train/loss": 2}],
        [18, {"test/loss": 1.0}],
        [18, {"best/val/loss": 2.0}],
    ]
    first = feed(project, resumes, records[:2])
    assert [call[1:] for call in first if call[0] == "scalars"][:2] == scalars[:2]
    assert first[0] == ["start", first[0][1], {"data_dir": "data", "sizes": [1, 2]}]
    figure = ["figure", 5, "figure", [2, 3, 3], "uint8", 255]
    assert figure in first
    second = feed(project, resumes, [*records, test])
    assert second[0] == first[0]
    shown = [call[1:] for call in second if call[0] == "scalars"]
    assert shown == (scalars[2:] if resumes else scalars)
    assert (figure in second) == (not resumes)
    assert second[-2:] == [
        ["summary", 18, {"test/loss": 1.0, "best/val/loss": 2.0}, ["fed"]],
        ["finish"],
    ]


def test_figures_that_wait_are_limited(tmp_path):
    """A hundred figures at once: some are left out, and the scalars all come."""
    from PIL import Image

    project = render({}, tmp_path)
    run_dir = project / "runs" / "fed"
    run_dir.mkdir(parents=True)
    Image.new("RGB", (2000, 2000)).save(run_dir / "figure.png")
    records = []
    for step in range(100):
        records.append({"event": "step", "epoch": 1, "step": step, "step/loss": 1.0})
    calls = feed(project, "", records)
    assert len([call for call in calls if call[0] == "scalars"]) == 101
    assert 20 <= len([call for call in calls if call[0] == "figure"]) < 100
