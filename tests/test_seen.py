"""What a person sees of a run: the terminal, summary.md, and the comparison of runs."""

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

import pytest
from rendering import render
from running import python

pytestmark = pytest.mark.xdist_group("seen")  # one process renders one project and starts the few runs
OPTIONS = ["--device", "cpu", "--model", "mlp", "--no-augment", "--epochs", "3", "--log-every", "99", "--run-dir"]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def cells(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text of Markdown."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two finished runs that differ in their learning rate, one of which has a difficult name."""
    folder = render({"logger": "none"}, tmp_path_factory.mktemp("seen"))
    out, _ = python(folder, "main.py", *OPTIONS, "runs/first")
    (folder / "first.txt").write_text(out)
    out, _ = python(folder, "main.py", *OPTIONS, "runs/it's second", "--lr", "0.0001", "--seed", "3")
    (folder / "second.txt").write_text(out)
    return folder


@pytest.fixture
def runs(project: Path, tmp_path: Path) -> Path:
    """A copy of the runs, for a test to damage."""
    return Path(shutil.copytree(project / "runs", tmp_path / "runs"))


# ---------------------------------------------------------------------------------------------------------- summary.md


def test_summary_says_what_was_measured(project):
    folder = project / "runs" / "it's second"
    text = (folder / "summary.md").read_text()
    *epochs, test = records(folder)
    best = max(epochs, key=lambda record: record["val/accuracy"])
    header, _, *rows = cells(text)[:4]
    assert header == ["metric", "test", f"validation, best epoch: {best['epoch']}"]
    assert rows == [
        [name, f"{test[f'test/{name}']:.4g}", f"{best[f'val/{name}']:.4g}"] for name in ("loss", "accuracy")
    ]
    changed = {flag.strip("`"): (value, default) for flag, value, default in cells(text)[6:]}
    assert changed == {
        "--device": ("cpu", "auto"),
        "--model": ("mlp", "cnn"),
        "--augment": ("False", "True"),
        "--epochs": ("3", "20"),
        "--log-every": ("99", "50"),
        "--lr": ("0.0001", "0.005"),
        "--seed": ("3", "0"),
    }
    for line in ("- data: digits, 1,078 + 359 + 360 samples", "- model: mlp, 85,002 parameters", "- device: cpu, fp32"):
        assert line in text
    assert re.search(r"^- peak memory: [0-9.]*[1-9][0-9.]* GiB of the process$", text, re.MULTILINE)
    pictures = re.findall(r"!\[\w+\]\((.*)\)", text)
    assert set(pictures) == {path.name for path in folder.glob("*.png")} and len(pictures) == 3


def test_summary_of_a_run_that_was_resumed(project, runs):
    folder = runs / "first"
    before = records(folder)
    python(project, "main.py", "--resume", "--run-dir", folder, "--epochs", "4")
    text, after = (folder / "summary.md").read_text(), records(folder)
    assert len(after) == len(before) + 1
    assert [record["seconds"] for record in after] == sorted(record["seconds"] for record in after)
    assert cells(text)[2][1] == f"{after[-1]['test/loss']:.4g}"
    assert ["`--epochs`", "4", "20"] in cells(text)
    seconds = float(re.search(r"^- time: ([\d.]+) s", text, re.MULTILINE)[1])
    assert seconds == pytest.approx(after[-1]["seconds"], abs=0.6)


def test_summary_of_an_evaluation(project):
    weights = "runs/first/checkpoints/best.pt"
    out, _ = python(project, "main.py", "--evaluate", weights, "--run-dir", "evaluated")
    text = (project / "evaluated" / "summary.md").read_text()
    assert f"- weights: {weights}" in text and f" --evaluate={weights}\n" in text
    test = records(project / "runs" / "first")[-1]
    assert cells(text)[:4] == [
        ["metric", "test"],
        ["---", "---"],
        *([name, f"{test[f'test/{name}']:.4g}"] for name in ("loss", "accuracy")),
    ]
    assert "evaluate " not in out and "best " not in out and "compare " not in out


def test_summary_of_two_processes(project, tmp_path):
    out, _ = python(project, "main.py", *OPTIONS, tmp_path, "--quick", processes=2)
    text = (tmp_path / "summary.md").read_text()
    assert text.count("# ") == 1 and "processes: 2" in text
    assert cells(text)[2][1] == f"{records(tmp_path)[-1]['test/loss']:.4g}"
    assert out.count("summary ") == 1


# ---------------------------------------------------------------------------------------------------------- compare.py


def compare(project: Path, *arguments: object, code: int = 0) -> tuple[list[list[str]], str]:
    """Return the rows of the table, cell by cell, and what compare.py complained of."""
    out, err = python(project, "compare.py", *arguments, code=code)
    return [re.split(r"  +", line.strip()) for line in out.splitlines() if "curves: " not in line and line], err


def test_compare_shows_what_differs(project, tmp_path):
    rows, err = compare(project, *sorted((project / "runs").iterdir()), "--output", tmp_path / "curves.png")
    assert not err
    assert rows[0] == ["run", "lr", "seed", "best epoch", "val/accuracy", "test/loss", "test/accuracy", "time"]
    for (name, lr, seed, best, *values, _), (folder, expected) in zip(
        rows[1:], {"first": ("0.005", "0"), "it's second": ("0.0001", "3")}.items(), strict=True
    ):
        *epochs, test = records(project / "runs" / folder)
        top = max(epochs, key=lambda record: record["val/accuracy"])
        assert (name, lr, seed, best) == (folder, *expected, f"{top['epoch']} of 3")
        measured = [top["val/accuracy"], test["test/loss"], test["test/accuracy"]]
        assert values == [f"{value:.4g}" for value in measured]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_compare_sorts_the_best_first(project, tmp_path):
    folders = [project / "runs" / name for name in ("it's second", "first")]
    losses = {folder.name: records(folder)[-1]["test/loss"] for folder in folders}
    assert losses["first"] < losses["it's second"]
    for options, order in {
        (): ["first", "it's second"],
        ("--sort", "test/loss"): ["first", "it's second"],
        ("--sort", "test/accuracy", "--reverse"): ["it's second", "first"],
        ("--sort", "test/loss", "--reverse"): ["it's second", "first"],
    }.items():
        rows, _ = compare(project, *folders, *options, "--output", tmp_path / "curves.png")
        assert [name for name, *_ in rows[1:]] == order


def test_compare_takes_runs_that_are_not_finished_and_skips_damaged_ones(project, runs):
    for name, lines in {"begun": 0, "halfway": 2}.items():
        shutil.copytree(runs / "first", runs / name)
        text = (runs / name / "metrics.jsonl").read_text()
        (runs / name / "metrics.jsonl").write_text("".join(text.splitlines(keepends=True)[:lines]))
    for number, (file, text) in enumerate(
        [("config.json", "{"), ("config.json", "{}"), ("metrics.jsonl", "3\n"), ("run.json", "[]")]
    ):
        shutil.copytree(runs / "first", runs / f"damaged{number}")
        (runs / f"damaged{number}" / file).write_text(text)
    (runs / "notes.txt").write_text("no run")
    (runs / "empty").mkdir()
    rows, err = compare(project, *runs.iterdir(), "--output", runs / "curves.png")
    names = [row[0] for row in rows[1:]]
    assert set(names) == {"first", "it's second", "halfway", "begun"} and names[-1] == "begun"
    halfway = rows[1 + names.index("halfway")]
    assert halfway[3].endswith("of 2") and halfway[5:7] == ["-", "-"]
    warnings = err.splitlines()  # of the damaged ones; what is no run, such as a logger's own files, is passed over
    assert len(warnings) == 4
    assert all(line.startswith("warning: ") and f"damaged{n}" in line for n, line in enumerate(sorted(warnings)))


def test_compare_ends_with_one_line_where_it_cannot(project, tmp_path):
    for arguments, message in {
        (tmp_path,): "is no run",
        ("runs/*",): "is no run",
        (): "RUN",
        ("runs/first", "--sort", "test/nonsense"): "choose from test/accuracy, test/loss",
        ("runs/first", "--output", tmp_path / "nowhere" / "curves.png"): "cannot draw",
        ("runs/first", "--output", tmp_path / "curves.nonsense"): "cannot draw",
    }.items():
        _, err = compare(project, *arguments, code=2)
        assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1


def test_compare_starts_without_torch(project, tmp_path):
    code = "import sys, compare; compare.main(); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "runs/first", "--output", tmp_path / "curves.png"]
    subprocess.run(command, cwd=project, stdout=subprocess.DEVNULL, check=True)


# -------------------------------------------------------------------------------------------------------- the pictures

CLOCKED = """
import json, types
import tracking, runtime, utils
from pathlib import Path

now, drawn = 0.0, []
tracking.time = types.SimpleNamespace(perf_counter=lambda: now)
args = utils.parse_arguments(["--quiet", "--device", "cpu"])

def draw():
    global now
    now += 3
    drawn.append(now)
    return {"note": "drawn"}

with runtime.start(args) as here:
    state = None
    for session in range(3):
        logger = tracking.Logger(args, args, here, Path("drawn"), {"accuracy": True}, draw)
        logger.folder.mkdir(exist_ok=True)
        logger.dashboard = tracking.Dashboard(logger.folder, {})
        logger.load_state_dict(state or {})
        for epoch in range(40 * session, 40 * session + 40):
            logger.progress([], epoch, 0, 1)
            now += 20
            logger.total, logger.samples = 1.0, 1
            logger.log(epoch, train=logger.end_epoch(), val={"loss": 1.0, "accuracy": 0.5})
        state = logger.state_dict()
    print(json.dumps([now, drawn, logger.seconds()]))
"""


def test_pictures_take_a_hundredth_of_the_time(project):
    """Draw pictures of 3 s in 120 epochs of 20 s and three sessions, by a clock that is set."""
    (project / "clocked.py").write_text(CLOCKED)
    out, _ = python(project, "clocked.py")
    end, drawn, seconds = json.loads(out)
    assert seconds == end == 120 * 20 + 3 * len(drawn)
    first, *others = drawn
    assert first < 100  # early, as what they cost is not known yet
    assert len(others) == 7  # after 600 s, 900 s and so on up to 2,400 s
    assert all(3 * (number + 2) <= 0.01 * time for number, time in enumerate(others))


# -------------------------------------------------------------------------------------------------------- the terminal


def in_a_terminal(project: Path, columns: int, *command: object) -> tuple[list[str], list[str]]:
    """Run main.py in a terminal; return all that was ever shown in a line, and the lines that stay."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "main.py", *map(str, command)], cwd=project, stdin=slave, stdout=slave, stderr=slave
    )
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
    shown, stays = in_a_terminal(project, 80, *OPTIONS, tmp_path)
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
    title, *epochs = lines[4:8]
    assert title.split() == ["train/loss", "val/loss", "val/accuracy", "samples/s"]
    *measured, _ = records(project / "runs" / "first")
    best = -1.0
    for line, record in zip(epochs, measured, strict=True):
        *cells, star = line.split() if line.endswith("*") else [*line.split(), ""]
        assert cells[:2] == ["epoch", f"{record['epoch']}/3"]
        assert cells[2:5] == [f"{record[name]:.4g}" for name in ("train/loss", "val/loss", "val/accuracy")]
        assert (star == "*") == (record["val/accuracy"] > best)
        best = max(best, record["val/accuracy"])


def test_last_lines_say_what_comes_next(project):
    first, second = ((project / name).read_text() for name in ("first.txt", "second.txt"))
    assert "compare " not in first  # there was nothing to compare with
    ((evaluate),) = re.findall(r"^evaluate +python (.*)$", second, re.MULTILINE)
    out, _ = python(project, *shlex.split(evaluate), "--run-dir", "again")
    assert re.search(r"^test .*$", second, re.MULTILINE)[0] in out
    assert re.search(r"^compare +python (.*)$", second, re.MULTILINE)[1] == "compare.py runs/*"
    (summary,) = re.findall(r"^summary +(.*)$", second, re.MULTILINE)
    (beside,) = re.findall(r"^beside it +(.*)$", second, re.MULTILINE)
    assert all((project / summary).with_name(name).is_file() for name in ["summary.md", *beside.split(", ")])
    assert "resume" not in second


def test_a_quiet_run_from_the_command_in_the_summary(project, tmp_path):
    folder = project / "runs" / "it's second"
    (command,) = re.findall(r"```bash\npython main.py (.*)\n```", (folder / "summary.md").read_text())
    assert "--run-dir" not in command
    shown, _ = in_a_terminal(project, 80, *shlex.split(command), "--quiet", "--run-dir", tmp_path)
    assert shown == [""]
    assert records(tmp_path)[-1]["test/loss"] == records(folder)[-1]["test/loss"]


def test_a_stopped_run_says_how_to_go_on(project, tmp_path):
    folder = tmp_path / "it's stopped"
    command = [sys.executable, "main.py", *OPTIONS, str(folder), "--epochs", "1000"]
    process = subprocess.Popen(command, cwd=project, text=True, stdout=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("epoch "):
            process.send_signal(signal.SIGTERM)
            break
    out, _ = process.communicate(timeout=60)
    (again,) = re.findall(r"go on with: python (.*)$", out, re.MULTILINE)
    assert shlex.split(again) == ["main.py", "--resume", "--run-dir", str(folder)]
    assert not (folder / "summary.md").exists()
