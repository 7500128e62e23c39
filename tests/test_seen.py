"""What a person sees of a run: the terminal, summary.md, and the comparison of two runs."""

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from rendering import render
from running import PROGRAMS, python, read_records, run, start

pytestmark = pytest.mark.xdist_group("seen")  # one process renders and starts the few runs
OPTIONS = ["--device", "cpu", "--model", "mlp", "--no-augment", "--epochs", "3"]
OPTIONS += ["--log-every", "99", "--run-dir"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two finished runs with other options, one of which has a difficult name."""
    folder = render({"logger": "none"}, tmp_path_factory.mktemp("seen"))
    out, _ = run(folder, *OPTIONS, "runs/first")
    (folder / "first.txt").write_text(out)
    out, _ = run(folder, *OPTIONS, "runs/it's second", "--lr", "0.0001", "--seed", "3")
    (folder / "second.txt").write_text(out)
    return folder


def read_cells(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text of Markdown."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def find_best(epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of the epoch with the highest validation accuracy."""
    return max(epochs, key=lambda record: record["val/accuracy"])


def format_metrics(record: dict[str, Any], split: str) -> list[str]:
    """Return loss and accuracy of a split as they are shown."""
    return [f"{record[f'{split}/{name}']:.4g}" for name in ("loss", "accuracy")]


# ------------------------------------------------------------------------------------ summary.md


def test_summary_says_what_was_measured(project):
    folder = project / "runs" / "it's second"
    text = (folder / "summary.md").read_text()
    *epochs, test = read_records(folder)
    best = find_best(epochs)
    header, _, loss, accuracy = read_cells(text)[:4]
    assert header == ["metric", "test", f"validation, best epoch: {best['epoch']}"]
    assert [loss[0], accuracy[0]] == ["loss", "accuracy"]
    assert [loss[1], accuracy[1]] == format_metrics(test, "test")
    assert [loss[2], accuracy[2]] == format_metrics(best, "val")
    changed = {flag.strip("`"): (value, default) for flag, value, default in read_cells(text)[7:]}
    assert changed == {
        "--device": ("cpu", "auto"),
        "--model": ("mlp", "cnn"),
        "--augment": ("False", "True"),
        "--epochs": ("3", "20"),
        "--log-every": ("99", "50"),
        "--lr": ("0.0001", "0.005"),
        "--seed": ("3", "0"),
    }
    assert "- data: digits, samples: train 1,079, val 359, test 359\n" in text
    assert "- model: mlp, 85,002 parameters\n" in text
    assert "- device: cpu, fp32" in text
    assert re.search(r"^- peak memory: [0-9.]*[1-9][0-9.]* GiB of main memory$", text, re.MULTILINE)
    figures = re.findall(r"!\[\w+\]\((.*)\)", text)
    assert set(figures) == {path.name for path in folder.glob("*.png")} and len(figures) == 3


def test_summary_of_a_run_that_was_resumed(project, tmp_path):
    folder = Path(shutil.copytree(project / "runs" / "first", tmp_path / "first"))
    before = read_records(folder)
    run(project, "--resume", "--run-dir", folder, "--epochs", "4")
    text, after = (folder / "summary.md").read_text(), read_records(folder)
    assert len(after) == len(before) + 1
    seconds = [record["seconds"] for record in after]
    assert seconds == sorted(seconds)
    assert read_cells(text)[2][1] == f"{after[-1]['test/loss']:.4g}"
    assert ["`--epochs`", "4", "20"] in read_cells(text)
    shown = float(re.search(r"^- time: ([\d.]+) s", text, re.MULTILINE)[1])
    assert shown == pytest.approx(seconds[-1], abs=0.6)  # as rounded


def test_summary_of_an_evaluation(project):
    weights = "runs/first/checkpoints/best.pt"
    out, _ = run(project, "--evaluate", weights, "--run-dir", "evaluated")
    text = (project / "evaluated" / "summary.md").read_text()
    assert f"- weights: {weights}" in text and f" --evaluate {weights}\n" in text
    test = read_records(project / "runs" / "first")[-1]
    header, _, loss, accuracy = read_cells(text)[:4]
    assert header == ["metric", "test"]
    assert [loss[1], accuracy[1]] == format_metrics(test, "test")
    for line in out.splitlines():
        assert not line.startswith(("evaluate ", "best ", "compare "))


def test_summary_of_two_processes(project, tmp_path):
    out, _ = run(project, *OPTIONS, tmp_path, "--quick", processes=2)
    text = (tmp_path / "summary.md").read_text()
    assert text.count("# ") == 1 and "processes: 2" in text
    assert read_cells(text)[2][1] == f"{read_records(tmp_path)[-1]['test/loss']:.4g}"
    assert out.count("summary ") == 1


# ------------------------------------------------------------------------------------ compare.py


def test_compare_shows_what_was_measured(project, tmp_path):
    folders = sorted((project / "runs").iterdir())
    command = ["compare.py", *folders, "--output", tmp_path / "curves.png"]
    out, err = python(project, *command, COLUMNS=200)
    assert not err
    rows = [re.split(r"  +", line.strip()) for line in out.split("\n\n")[0].splitlines()]
    results = ["val/accuracy", "best epoch", "time", "test/loss", "test/accuracy", "test/macro_f1"]
    assert rows[0] == ["run", "lr", "seed", *results]
    shown = {row[0]: row[1:] for row in rows[1:]}
    for folder, options in {"first": ["0.005", "0"], "it's second": ["0.0001", "3"]}.items():
        *epochs, test = read_records(project / "runs" / folder)
        best = find_best(epochs)
        lr, seed, accuracy, epoch, _, *tested = shown[folder]
        assert [lr, seed] == options
        assert [accuracy, epoch] == [f"{best['val/accuracy']:.4g}", f"{best['epoch']} of 3"]
        assert tested[:2] == format_metrics(test, "test")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


# ----------------------------------------------------------------------------------- the figures


def test_figures_take_a_hundredth_of_the_time(project):
    """Draw figures of 3 s in 120 epochs of 20 s and three sessions, by a clock that is set."""
    out, _ = python(project, PROGRAMS / "draw_by_clock.py")
    end, drawn, seconds = json.loads(out)
    assert seconds == end == 120 * 20 + 3 * len(drawn)
    first, *others = drawn
    assert first < 100  # early, as what they cost is not known yet
    assert len(others) == 7  # after 600 s, 900 s and so on up to 2,400 s
    for number, time in enumerate(others):
        assert 3 * (number + 2) <= 0.01 * time


# ---------------------------------------------------------------------------------- the terminal


def run_in_a_terminal(project: Path, *options: object) -> tuple[list[str], list[str]]:
    """Run main.py in a terminal of 80 columns.

    Return all that was ever shown in a line, and the lines that stay.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    command = [sys.executable, "main.py", *map(str, options)]
    process = subprocess.Popen(command, cwd=project, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    data = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how a terminal ends on Linux
            part = b""
        if not part:
            break
        data += part
    os.close(master)
    assert process.wait() == 0, data.decode()
    shown, stays = [], []
    for line in data.decode().replace("\r\n", "\n").split("\n"):
        screen = ""
        for part in line.split("\r"):
            shown.append(part)
            screen = part + screen[len(part) :]
        stays.append(screen.rstrip())
    return shown, stays


def test_terminal(project, tmp_path):
    shown, stays = run_in_a_terminal(project, *OPTIONS, tmp_path)
    bars = [part for part in shown if "%|" in part]
    assert {part[:9] for part in bars} == {"epoch 1/3", "epoch 2/3", "epoch 3/3"}
    assert all(len(part) < 80 and "steps/s" in part for part in bars)
    assert not [line for line in stays if "%|" in line]
    epochs = [line for line in stays if line.startswith("epoch ")]
    assert len(epochs) == 3 and all(len(line) <= 80 for line in epochs)


def test_without_a_terminal(project):
    out = (project / "first.txt").read_text()
    assert "%|" not in out and "\r" not in out
    lines = [line for line in out.splitlines() if line]
    assert [line.split()[0] for line in lines[:5]] == ["device", "model", "data", "classes", "run"]
    header, *rows = lines[5:9]
    names = ["train/loss", "train/accuracy", "val/loss", "val/accuracy"]
    assert header.split() == [*names, "samples/s"]
    best = -1.0
    *epochs, _ = read_records(project / "runs" / "first")
    for row, record in zip(rows, epochs, strict=True):
        cells = row.split()
        assert cells[:2] == ["epoch", f"{record['epoch']}/3"]
        assert cells[2:6] == [f"{record[name]:.4g}" for name in names]
        assert (cells[-1] == "*") == (record["val/accuracy"] > best)
        best = max(best, record["val/accuracy"])


def test_last_lines_say_what_comes_next(project):
    first, second = ((project / name).read_text() for name in ("first.txt", "second.txt"))
    assert "compare " not in first  # there was nothing to compare with
    ((evaluate),) = re.findall(r"^evaluate +python (.*)$", second, re.MULTILINE)
    out, _ = python(project, *shlex.split(evaluate), "--run-dir", "again")
    assert re.search(r"^test .*$", second, re.MULTILINE)[0] in out
    assert re.search(r"^compare +python (.*)$", second, re.MULTILINE)[1] == "compare.py runs/*"
    (summary,) = re.findall(r"^summary +(.*)$", second, re.MULTILINE)
    (figures,) = re.findall(r"^figures +(.*)$", second, re.MULTILINE)
    for name in ["summary.md", *figures.split(", ")]:
        assert (project / summary).with_name(name).is_file()
    assert "resume" not in second


def test_a_quiet_run_from_the_command_in_the_summary(project, tmp_path):
    folder = project / "runs" / "it's second"
    text = (folder / "summary.md").read_text()
    (command,) = re.findall(r"```bash\npython main.py (.*)\n```", text)
    assert "--run-dir" not in command
    shown, _ = run_in_a_terminal(project, *shlex.split(command), "--quiet", "--run-dir", tmp_path)
    assert shown == [""]
    assert read_records(tmp_path)[-1]["test/loss"] == read_records(folder)[-1]["test/loss"]


def test_a_stopped_run_says_how_to_continue(project, tmp_path):
    folder = tmp_path / "it's stopped"
    process = start(project, *OPTIONS, folder, "--epochs", "1000")
    for line in process.stdout:
        if line.startswith("epoch "):
            process.send_signal(signal.SIGTERM)
            break
    out, _ = process.communicate(timeout=300)
    assert re.search(r"^stopped at step [\d,]+ \(\d+ of 1000 epochs done", out, re.MULTILINE)
    (again,) = re.findall(r"to continue: python (.*)$", out, re.MULTILINE)
    assert shlex.split(again) == ["main.py", "--resume", "--run-dir", str(folder)]
    assert not (folder / "summary.md").exists()
