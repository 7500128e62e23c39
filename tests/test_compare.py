"""compare.py, and the curves and summaries of runs, on made-up run directories."""

import csv
import importlib
import importlib.util
import json
import math
import os
import re
import statistics
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rendering import RAW_PACKAGE, Project

OPTIONS = {
    "model": "cnn",
    "data_dir": "data",
    "augment": True,
    "label_smoothing": 0.1,
    "epochs": 4,
    "lr": 0.005,
    "monitor": "accuracy",
    "device": "auto",
}
HIGHER_IS_BETTER = {"loss": False, "accuracy": True}


def load_report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import engine/report.py of the template, without the package that it is rendered into."""
    folder = RAW_PACKAGE / "engine"
    spec = importlib.util.spec_from_file_location(
        "raw_engine", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setitem(sys.modules, "raw_engine", importlib.util.module_from_spec(spec))
    return importlib.import_module("raw_engine.report")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_report(monkeypatch)


def make_records(accuracies: list[float], test: dict[str, float] | None = None) -> list[dict]:
    """Return the records of a run with these validation accuracies."""
    records: list[dict[str, Any]] = []
    for epoch, accuracy in enumerate(accuracies, 1):
        step = {"event": "step", "epoch": epoch, "step": 9 * epoch - 4, "step/loss": 1.0}
        train = {"train/loss": 1.5 - accuracy, "train/accuracy": accuracy, "train/lr": 0.1 / epoch}
        val = {"val/loss": 1 - accuracy, "val/accuracy": accuracy}
        place = {"event": "epoch", "epoch": epoch, "step": 9 * epoch}
        records += [step, {**place, **train, **val, "seconds": 2.0 * epoch}]
    if test is not None:
        place = {"event": "test", "epoch": len(accuracies), "step": 9 * len(accuracies)}
        records.append({**place, **test, "seconds": 2.0 * len(accuracies) + 1})
    return records


def make_run(run_dir: Path, records: list[dict], **changed: Any) -> Path:
    """Write the files of a run directory that compare.py reads."""
    run_dir.mkdir(parents=True)
    (run_dir / "config.json").write_text(json.dumps({**OPTIONS, **changed}))
    (run_dir / "run.json").write_text(json.dumps({"higher_is_better": HIGHER_IS_BETTER}))
    lines = [json.dumps(record) + "\n" for record in records]
    (run_dir / "metrics.jsonl").write_text("".join(lines))
    return run_dir


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs; the middle one is the best in validation, the last one in test/loss."""
    folder = tmp_path / "runs"
    test = {"test/loss": 0.3, "test/accuracy": 0.7}
    make_run(folder / "first", make_records([0.2, 0.8, 0.7], test))
    test = {"test/loss": 0.2, "test/accuracy": 0.81}
    make_run(folder / "it's second", make_records([0.2, 0.85], test), lr=0.02, device="cpu")
    test = {"test/loss": 0.1, "test/accuracy": 0.75}
    make_run(folder / "third", make_records([0.6], test), lr=0.001, augment=False)
    return folder


def run_compare(
    project: Project, *arguments: object, code: int = 0, columns: int = 200, **settings: str
) -> tuple[str, str]:
    """Run compare.py, check its exit code, and return what it printed and warned."""
    environment = {**os.environ, "COLUMNS": str(columns), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.update(settings)
    result = subprocess.run(
        [sys.executable, "compare.py", *map(str, arguments)],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout, result.stderr


def read_table(out: str) -> list[list[str]]:
    """Return the cells of the first table that compare.py printed."""
    return [re.split(r"  +", line.strip()) for line in out.split("\n\n")[0].splitlines()]


# --------------------------------------------------------------------------------- the program


def test_compare_shows_what_differs(default_project, runs):
    figure = runs / "curves.png"
    out, err = run_compare(default_project, *sorted(runs.iterdir()), "--output", figure)
    assert not err
    header, *rows = read_table(out)
    results = ["val/accuracy", "best epoch", "time", "test/loss", "test/accuracy"]
    assert header == ["run", "augment", "lr", *results]
    assert rows == [
        ["it's second", "True", "0.02", "0.85", "2 of 2", "5.0 s", "0.2", "0.81"],
        ["first", "True", "0.005", "0.8", "2 of 3", "7.0 s", "0.3", "0.7"],
        ["third", "False", "0.001", "0.6", "1 of 1", "3.0 s", "0.1", "0.75"],
    ]
    assert out.endswith(f"\n\ncurves: {figure}\n")
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "order"),
    [
        (["--reverse"], ["third", "first", "it's second"]),
        (["--sort", "test/loss"], ["third", "it's second", "first"]),
        (["--sort", "test/accuracy", "--reverse"], ["first", "third", "it's second"]),
    ],
)
def test_compare_sorts(default_project, runs, tmp_path, options, order):
    output = ["--output", tmp_path / "curves.svg"]
    out, _ = run_compare(default_project, *runs.iterdir(), *options, *output)
    assert [row[0] for row in read_table(out)[1:]] == order


def test_compare_fits_a_narrow_terminal(default_project, tmp_path):
    runs = tmp_path / "runs"
    test = {f"test/{name}": 0.5 for name in ("loss", "accuracy", "top_5_accuracy", "f1")}
    for number in range(3):
        changed = {f"some_option_{index}": number for index in range(7)}
        changed["data_dir"] = f"/a/path/of/a/length/that/is/not/rare/{number}"
        make_run(runs / f"20260102-03040{number}", make_records([0.5], test), **changed)
    out, _ = run_compare(
        default_project, *runs.iterdir(), "--output", tmp_path / "curves.png", columns=80
    )
    tables, _, _ = out.rpartition("\n\n")
    assert max(len(line) for line in tables.splitlines()) <= 80
    results, options = tables.split("\n\noptions that differ:\n\n")
    columns = []
    for block in [*results.split("\n\n"), *options.split("\n\n")]:
        header, *rows = block.splitlines()
        assert len(rows) == 3
        columns += re.split(r"  +", header)[1:]
    assert columns[:3] == ["val/accuracy", "best epoch", "time"]
    assert columns[3:7] == [*test]
    assert columns[7:] == ["data_dir", *(f"some_option_{index}" for index in range(7))]
    assert "…ngth/that/is/not/rare/2" in options


def test_compare_takes_unfinished_runs_and_evaluations(default_project, runs):
    make_run(runs / "begun", [])
    make_run(runs / "halfway", make_records([0.3, 0.2]))
    test = {"test/loss": 0.4, "test/accuracy": 0.55}
    make_run(runs / "evaluated", make_records([], test))
    torn = make_run(runs / "torn", make_records([0.1, 0.2]))
    text = (torn / "metrics.jsonl").read_text()
    (torn / "metrics.jsonl").write_text(text[:-20])  # while its last record is being written
    out, err = run_compare(
        default_project, *sorted(runs.iterdir()), "--output", runs / "curves.png"
    )
    assert not err
    cells = {row[0]: row[3:] for row in read_table(out)}
    assert [*cells][-2:] == ["begun", "evaluated"]  # without validation
    assert cells["halfway"] == ["0.3", "1 of 2", "4.0 s", "-", "-"]
    assert cells["evaluated"] == ["-", "-", "1.0 s", "0.4", "0.55"]
    assert cells["begun"] == ["-", "-", "0.0 s", "-", "-"]
    assert cells["torn"][:2] == ["0.1", "1 of 1"]


def test_compare_takes_evaluations_alone(default_project, tmp_path):
    test = {"test/loss": 0.4, "test/accuracy": None}
    run_dir = make_run(tmp_path / "evaluated", make_records([], test))
    out, err = run_compare(default_project, run_dir, "--output", tmp_path / "curves.png")
    assert not err
    assert read_table(out)[1] == ["evaluated", "-", "-", "1.0 s", "0.4"]


def test_compare_skips_what_is_damaged(default_project, runs):
    damages = [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", "[" * 100_000),
        ("metrics.jsonl", "3\n"),
        ("metrics.jsonl", "{}\n"),
        ("run.json", "[]"),
        ("run.json", '{"higher_is_better": 3}'),
    ]
    for number, (file, text) in enumerate(damages):
        damaged = make_run(runs / f"damaged{number}", make_records([0.5]))
        (damaged / file).write_text(text)
    (runs / "notes.txt").write_text("no run")
    (runs / "tensorboard").mkdir()
    out, err = run_compare(
        default_project, *sorted(runs.iterdir()), "--output", runs / "curves.png"
    )
    assert {row[0] for row in read_table(out)[1:]} == {"first", "it's second", "third"}
    warnings = err.splitlines()  # none of those that have no config.json
    assert len(warnings) == len(damages)
    for number, line in enumerate(warnings):
        assert line.startswith("warning: ") and f"damaged{number} is no run directory" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "no run directory"),
        (["runs/*"], "does not exist"),
        ([], "RUN"),
        (["first", "--sort", "test/nonsense"], "test/accuracy, test/loss"),
        (["first", "--output", "nowhere/curves.png"], "cannot draw"),
        (["first", "--output", "curves.nonsense"], "cannot draw"),
    ],
)
def test_compare_ends_with_one_line(default_project, runs, arguments, message):
    paths = [word if word.startswith(("-", "test/")) else runs / word for word in arguments]
    _, err = run_compare(default_project, *paths, code=2)
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1


def test_compare_needs_no_torch(default_project, runs):
    _, err = run_compare(
        default_project, runs / "first", "--output", runs / "a.png", PYTHONPROFILEIMPORTTIME="1"
    )
    imported = set(re.findall(r"\| +([\w.]+)$", err, re.MULTILINE))
    assert "matplotlib.figure" in imported and "torch" not in imported


def test_legend_of_the_curves(default_project, runs, tmp_path):
    make_run(runs / "again", make_records([0.8, 0.9]))
    output = tmp_path / "curves.svg"
    settings = tmp_path / "matplotlibrc"
    settings.write_text("svg.fonttype: none")  # text as text
    arguments = [*sorted(runs.iterdir()), "--output", output]
    run_compare(default_project, *arguments, MATPLOTLIBRC=str(settings))
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", output.read_text())
    assert "validation (dotted: train)" in texts
    assert {"loss", "accuracy"} <= set(texts)
    assert "augment=True, lr=0.02" in texts
    assert "augment=False, lr=0.001" in texts
    for name in ("first", "again"):  # the same options
        assert f"augment=True, lr=0.005 ({name})" in texts


# --------------------------------------------------------------------------------- repetitions


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """Three seeds of one option, two of another with a lost test, and one run that has begun."""
    folder = tmp_path / "runs"
    for seed, accuracy in enumerate([0.8, 0.9, 0.85]):
        test = {"test/loss": 0.25, "test/accuracy": accuracy - 0.1}
        make_run(folder / f"a{seed}", make_records([0.2, accuracy], test), lr=0.1, seed=seed)
    make_run(folder / "b0", make_records([0.5], {"test/loss": 0.5}), lr=0.2, seed=0)
    make_run(folder / "b1", make_records([0.7, 0.6]), lr=0.2, seed=1)
    make_run(folder / "begun", [], lr=0.2, seed=2)
    return folder


def test_runs_that_differ_in_the_seed_share_a_row(default_project, repeated):
    arguments = [*sorted(repeated.iterdir()), "--output", repeated / "curves.png"]
    header, *rows = read_table(run_compare(default_project, *arguments)[0])
    results = ["n", "val/accuracy", "best", "best epoch", "time", "test/loss", "test/accuracy"]
    assert header == ["best run", "lr", "seed", *results]
    first = ["2 of 2", "5.0 s", "0.25 ± 0", "0.750 ± 0.050"]
    second = ["1 of 2", "3.5 s", "0.5 (n=1)", "-"]
    assert rows == [
        ["a1", "0.1", "0-2", "3", "0.850 ± 0.050", "0.9", *first],
        ["b1", "0.2", "0, 1", "2", "0.60 ± 0.14", "0.7", *second],
        ["begun", "0.2", "2", "1", "-", "-", "-", "0.0 s", "-", "-"],
    ]
    header, *rows = read_table(run_compare(default_project, *arguments, "--each")[0])
    assert header[:3] == ["run", "lr", "seed"]
    assert [row[0] for row in rows] == ["a1", "a2", "a0", "b1", "b0", "begun"]


def test_a_second_run_of_a_seed_is_no_further_sample(default_project, repeated):
    make_run(repeated / "again", make_records([0.2, 0.8]), lr=0.1, seed=0, device="cpu")
    out, _ = run_compare(
        default_project, *sorted(repeated.iterdir()), "--output", repeated / "curves.png"
    )
    rows = {row[0]: row[1:4] for row in read_table(out)[1:]}
    assert rows["a1"] == ["0.1", "0-2", "3"]
    assert rows["again"] == ["0.1", "0", "1"]  # of two equal runs, the first is in the group


def test_folds_of_the_same_number_share_a_row(default_project, tmp_path):
    for fold, accuracy in {None: 0.9, "1/2": 0.5, "2/2": 0.6, "1/3": 0.7}.items():
        name = str(fold).replace("/", "of")
        make_run(tmp_path / "runs" / name, make_records([accuracy]), fold=fold, seed=0)
    out, _ = run_compare(
        default_project, *(tmp_path / "runs").iterdir(), "--output", tmp_path / "curves.png"
    )
    rows = [row[:4] for row in read_table(out)[1:]]
    assert rows == [
        ["None", "None", "1", "0.9"],
        ["1of3", "1/3", "1", "0.7"],
        ["2of2", "1/2, 2/2", "2", "0.550 ± 0.071"],
    ]


def test_formats_for_papers_and_programs(default_project, repeated, tmp_path):
    for path in [repeated / "begun", repeated / "b0", repeated / "b1"]:
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "model": "a_b & 5 %"}))
    texts = {}
    for name in ("markdown", "latex", "csv"):
        arguments = [*sorted(repeated.iterdir()), "--format", name, "--output", tmp_path / "c.png"]
        texts[name], err = run_compare(default_project, *arguments, columns=40)
        assert not err
    lines = texts["markdown"].splitlines()
    assert len(lines) == 5 and lines[0].startswith("| best run | model | lr | seed | n |")
    assert "| a1 | cnn | 0.1 | 0-2 | 3 | 0.850 ± 0.050 | 0.9 |" in lines[2]
    latex = texts["latex"].splitlines()
    assert latex[:2] == [r"\begin{tabular}{lrrrrrrrrrr}", r"\toprule"]
    assert latex[4].startswith(r"a1 & cnn & 0.1 & 0-2 & 3 & 0.850 $\pm$ 0.050 & 0.9 &")
    assert latex[5].startswith(r"b1 & a\_b \& 5 \% & 0.2 &")
    assert latex[-2:] == [r"\bottomrule", r"\end{tabular}"]
    rows = list(csv.DictReader(texts["csv"].splitlines()))
    assert [row["best run"] for row in rows] == ["a1", "b1", "begun"]
    accuracies = [0.8, 0.9, 0.85]
    assert float(rows[0]["val/accuracy"]) == statistics.mean(accuracies)
    assert float(rows[0]["val/accuracy std"]) == statistics.stdev(accuracies)
    assert [rows[0]["n"], rows[0]["val/accuracy n"], rows[0]["seed"]] == ["3", "3", "0-2"]
    assert rows[1]["test/loss"] == "0.5" and rows[2]["val/accuracy"] == ""


def test_bands_of_repeated_runs(report):
    runs = []
    for accuracies in ([0.1, 0.5, 0.9], [0.3, 0.5], [0.2, 0.8, 0.7]):
        records = make_records(accuracies)
        runs.append([record for record in records if record["event"] == "epoch"])
    means, deviations = report.average_runs(runs, "val/accuracy")
    assert [record["epoch"] for record in means] == [1, 2]  # the second run has no third
    assert [record["val/accuracy"] for record in means] == pytest.approx([0.2, 0.6])
    assert deviations == pytest.approx([0.1, math.sqrt(0.03)])
    assert report.average_runs(runs[:1], "val/accuracy")[0] == runs[0]
    figure = report.draw_runs([("three", runs, "accuracy"), ("one", runs[:1], "accuracy")])
    loss, accuracy = figure.axes
    assert [len(axes.lines) for axes in (loss, accuracy)] == [4, 4]
    for axes in (loss, accuracy):
        (band,) = axes.collections  # of the three, in the color of their mean
        assert band.get_facecolor()[0][:3] == pytest.approx(axes.lines[0].get_color()[:3])
    heights = accuracy.collections[0].get_paths()[0].vertices[:, 1]
    assert [heights.min(), heights.max()] == pytest.approx([0.1, 0.6 + math.sqrt(0.03)])
    assert "standard deviation" in figure.legends[0].get_title().get_text()


# ----------------------------------------------------------------------- engine/report.py


def test_spreads(report):
    texts = {
        (0.8532, 0.8741): "0.864 ± 0.015",
        (0.5,): "0.5",
        (0.5, 0.5): "0.5 ± 0",
        (31410.0, 31610.0): "31,510 ± 141",
        (1e-12, 3e-12): "2e-12 ± 1.4e-12",
        (2.0, 9.0): "5.5 ± 4.9",
    }
    for values, text in texts.items():
        assert report.format_spread(list(values)) == text


def test_numbers_and_durations(report):
    numbers = [31410.2, 0.97222, 1.25e-5, 999.97, 9999.7, -1234.6, 2.5e12, 0, 12, None, math.inf]
    texts = ["31,410", "0.9722", "1.25e-05", "1,000", "10,000", "-1,235", "2.5e+12", "0", "12"]
    assert [report.format_number(number) for number in numbers] == [*texts, "nan", "inf"]
    durations = [0, 9.94, 9.96, 45, 119.4, 119.6, 120, 7199, 7200]
    texts = ["0.0 s", "9.9 s", "10 s", "45 s", "119 s", "2 min", "2 min", "120 min", "2.0 h"]
    assert [report.format_duration(seconds) for seconds in durations] == texts


def test_best_epoch_is_the_first_of_the_best(report):
    records = make_records([0.2, 0.9, 0.9, 0.5], test={"test/loss": 0.0})
    assert report.best_epoch(records, "accuracy", HIGHER_IS_BETTER)["epoch"] == 2
    assert report.best_epoch(records, "loss", HIGHER_IS_BETTER)["epoch"] == 2
    records[3]["val/accuracy"] = None  # was not finite
    assert report.best_epoch(records, "accuracy", HIGHER_IS_BETTER)["epoch"] == 3
    assert report.best_epoch(records, "nonsense", HIGHER_IS_BETTER) == {}


def test_curves_name_splits_and_show_training(report):
    args = Namespace(label_smoothing=0.1, dropout=0.0)
    epochs = [record for record in make_records([0.2, 0.9, 0.5]) if record["event"] == "epoch"]
    epochs[0]["val/loss"] = None
    label = report.get_train_label(args)
    figure = report.draw_curves(epochs, "accuracy", HIGHER_IS_BETTER, label)
    loss, accuracy, lr = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    labels = [line.get_label() for line in loss.lines]
    assert labels == ["train (with label smoothing)", "validation"]
    labels = [line.get_label() for line in accuracy.lines]
    assert labels == ["train", "validation", "best: 0.9, epoch 2"]
    assert list(accuracy.lines[0].get_ydata()) == [0.2, 0.9, 0.5]
    assert math.isnan(loss.lines[1].get_ydata()[0])
    assert list(lr.lines[0].get_ydata()) == [0.1, 0.05, 0.1 / 3]
    assert report.get_train_label(Namespace(label_smoothing=0.0)) == "train"
    both = report.get_train_label(Namespace(label_smoothing=0.1, dropout=0.2))
    assert both == "train (with label smoothing and dropout)"


def test_a_loss_that_falls_a_lot_is_drawn_on_a_logarithmic_scale(report):
    for accuracies, scale in {(0.1, 0.2): "linear", (0.1, 0.99): "log"}.items():
        epochs = [record for record in make_records([*accuracies]) if record["event"] == "epoch"]
        figure = report.draw_curves(epochs, "loss", HIGHER_IS_BETTER)
        assert [axes.get_title() for axes in figure.axes] == ["loss", "learning rate"]
        assert figure.axes[0].get_yscale() == scale


def test_new_figure(report):
    figure, grid = report.new_figure(2, 3, size=(9, 4), width_ratios=(1, 1, 2), xticks=[])
    assert grid.shape == (2, 3) and list(figure.get_size_inches()) == [9, 4]
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert all(len(axes.get_xticks()) == 0 for axes in grid.flat)


def test_summary(report, tmp_path):
    changed = {
        "model": ["--model", "mlp"],
        "augment": ["--no-augment"],
        "wd": ["--weight-decay=-1"],  # an option with `dest`
        "tags": ["--tags", "a b", "c|d"],
    }
    args = Namespace(model="mlp", augment=False, wd=-1, tags=["a b", "c|d"], lr=0.1)
    args.defaults = {"model": "cnn", "augment": True, "wd": 0.05, "tags": None, "lr": 0.1}
    args.changed = changed
    args.evaluate = None
    records = make_records([0.2, 0.9, 0.5], {"test/loss": 31410.2, "test/accuracy": 0.85})
    best = report.best_epoch(records, "accuracy", HIGHER_IS_BETTER)
    facts = {"device": "cpu", "data": "digits"}
    figures = ["curves.png", "sample.txt"]
    text = report.format_summary(tmp_path / "mine", args, facts, best, records[-1], figures)
    assert text == SUMMARY
    args.evaluate = Path("runs/it's/best.pt")
    text = report.format_summary(tmp_path / "mine", args, facts, {}, records[-1], figures)
    assert "| metric | test |\n| --- | --- |\n| loss | 31,410 |\n| accuracy | 0.85 |\n" in text
    assert """ --evaluate 'runs/it'"'"'s/best.pt'\n""" in text
    args.changed = {}
    text = report.format_summary(tmp_path / "mine", args, facts, {}, records[-1], figures)
    assert "All options have their defaults." in text


SUMMARY = """\
# mine

| metric | test | validation, best epoch: 2 |
| --- | --- | --- |
| loss | 31,410 | 0.1 |
| accuracy | 0.85 | 0.9 |

```bash
python main.py --model mlp --no-augment --weight-decay=-1 --tags 'a b' 'c|d'
```

| option | value | default |
| --- | --- | --- |
| `--model` | mlp | cnn |
| `--augment` | False | True |
| `--weight-decay` | -1 | 0.05 |
| `--tags` | ['a b', 'c\\|d'] | None |

- device: cpu
- data: digits

![curves](curves.png)

[sample.txt](sample.txt)
"""
