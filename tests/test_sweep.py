"""sweep.py: its command line, and its trials, of a main.py that trains in no time."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from rendering import render
from running import PROGRAMS, python, read_records, rest_is_full

GRID = ["--sampler", "grid", "--lr"]
SHORT = ["--", "--model", "mlp", "--epochs", "3"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    answers = {"distributed": "none", "logger": "none"}
    return render(answers, tmp_path_factory.mktemp("sweep"))


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Path:
    """A project whose main.py trains in no time."""
    folder = Path(shutil.copytree(rendered, tmp_path / "my_project"))
    shutil.copy(PROGRAMS / "trial.py", folder / "main.py")
    return folder


def load_trials(project: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a sweep as Optuna's dashboard would see them."""
    storage = f"sqlite:///{project / 'runs' / 'sweeps.db'}"
    return optuna.load_study(study_name=name, storage=storage).trials


def start_sweep(project: Path, *words: str, pause: float = 0) -> subprocess.Popen[str]:
    """Start a sweep whose epochs take a while."""
    return subprocess.Popen(
        [sys.executable, "sweep.py", *words],
        cwd=project,
        env=os.environ | {"PAUSE": str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_starts(project: Path, process: subprocess.Popen[str], number: int) -> None:
    """Wait until trials of the sweep `mine` were started so many times."""
    path = project / "runs" / "mine" / "starts.txt"
    while not path.exists() or len(path.read_text().splitlines()) < number:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def check_whole(project: Path, number: int, epochs: int) -> None:
    """Check that a sweep has so many trials, each trained once, with the options it is said to."""
    trials = load_trials(project, "mine")
    assert [trial.number for trial in trials] == list(range(number))
    folders = sorted((project / "runs" / "mine").glob("trial-???"))
    assert len(folders) == number
    for trial, folder in zip(trials, folders, strict=True):
        assert trial.state == TrialState.COMPLETE
        records = read_records(folder)
        found = [(record["event"], record["epoch"]) for record in records]
        assert found == [("epoch", epoch + 1) for epoch in range(epochs)] + [("test", epochs)]
        assert trial.value == max(record.get("val/accuracy", 0) for record in records)
        assert trial.intermediate_values.keys() == set(range(1, epochs + 1))
        assert trial.params["lr"] == json.loads((folder / "config.json").read_text())["lr"]
    assert len({trial.params["lr"] for trial in trials}) == number


# ------------------------------------------------------------------------------ the command line


WRONG = [
    (["--lr", "1e-4"], "a range is needed"),
    (["--lr", "0.1:0.01"], "0.1 is not below 0.01"),
    (["--lr", "0:1:log"], "begins above 0"),
    (["--lr", "0:1:-0.1"], "log or a number above 0"),
    (["--epochs", "1:9:0.5"], "log or a whole number above 0"),
    (["--lr", "1:2:3:4"], "log or a number above 0"),
    (["--lr", "a:1"], "--lr: 'a' is not a number"),
    (["--lr", "0.1,0.2,0.1"], "twice"),
    (["--lr"], "a range is needed"),
    (["--rate", "0:1"], "--rate is an option neither of sweep.py nor of main.py"),
    (["--model", "mlp,nonsense"], "nonsense"),
    (["--model", "a:b"], "--model: invalid choice"),
    (["--augment", "1,0"], "true,false"),
    (["--data-dir", "a:b"], "--data-dir takes no number"),
    (["--run-dir", "a,b"], "--run-dir cannot differ"),
    (["--monitor", "loss,accuracy"], "--monitor cannot differ"),
    (["--lr", "0:1", "--lr=0:2"], "two ranges"),
    ([*GRID, "0:1"], "a grid needs choices"),
    (["--lr", "0:1", "--", "--rate", "3"], "--rate"),
    (["--lr", "0:1", "--", "--lr", "3"], "--lr has a range, and"),
    (["--lr", "0:1", "--", "--monitor", "nonsense"], "--monitor nonsense: choose from loss"),
    (["--lr", "0:1", "--", "--run-dir", "runs/a"], "--run-dir cannot stand behind --"),
    (["--lr", "0:1", "--name", "a/b"], "the name of one folder"),
    (["--lr", "0:1", "--trials", "0"], "--trials: 0 is too small"),
    (["--lr", "0:1", "--seeds", "2", "--prune"], "--prune: with --seeds, all seeds"),
]


def test_a_wrong_command_ends_with_one_line(rendered):
    commands = json.dumps([words for words, _ in WRONG])
    out, _ = python(rendered, PROGRAMS / "wrong_sweeps.py", commands)
    for (words, message), (code, err) in zip(WRONG, json.loads(out), strict=True):
        assert code == 2, words
        assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1, words
    assert not (rendered / "runs").exists()


def test_without_optuna_one_line_says_what_to_install(project):
    (project / "optuna.py").write_text("raise ImportError\n")
    out, err = python(project, "sweep.py", "--lr", "0:1", code=2)
    assert (out, err) == ("", "error: sweep.py needs Optuna: pip install -e '.[sweep]'\n")


# ------------------------------------------------------------------------------------ the trials


def test_a_grid_is_tried_and_a_trial_that_fails_is_recorded(project):
    words = ["--name", "mine", "--jobs", "2", *GRID, "0.1,1,0.01", "--optimizer", "sgd,adamw"]
    out, err = python(project, "sweep.py", *words, *SHORT, COLUMNS=200)
    assert not err
    trials = load_trials(project, "mine")
    assert [trial.params for trial in trials] == [
        {"lr": lr, "optimizer": name} for lr in (0.1, 1, 0.01) for name in ("sgd", "adamw")
    ]
    states = [trial.state for trial in trials]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 2
    assert [trial.user_attrs for trial in trials[2:4]] == [{"error": "error: the loss is nan"}] * 2
    assert "trial 002   lr=1.0 optimizer=sgd   failed: error: the loss is nan\n" in out
    assert "trial 004   lr=0.01 optimizer=sgd   accuracy 0.903\n" in out
    assert "4 complete, 0 pruned, 2 failed" in out
    table = out[out.index("\n\n") + 2 :].split("\n\n")[0].splitlines()
    assert re.split(r"  +", table[0])[:3] == ["run", "lr", "val/accuracy"]
    assert [line.split()[1] for line in table[1:]] == ["0.01", "0.01", "0.1", "0.1"]
    assert (project / "runs/mine/sweep.png").read_bytes().startswith(b"\x89PNG")
    starts = (project / "runs/mine/starts.txt").read_text().splitlines()
    assert len(starts) == 6


def test_a_trial_without_a_finite_value_has_failed(project):
    out, err = python(project, "sweep.py", "--name", "mine", *GRID, "2,0.01", *SHORT, COLUMNS=200)
    assert not err and "1 complete, 0 pruned, 1 failed" in out
    assert "trial 000   lr=2.0   failed: val/accuracy was finite in no epoch\n" in out


def test_a_deleted_sweep_is_not_taken_over(project):
    words = ["--name", "mine", *GRID, "0.1,0.01"]
    python(project, "sweep.py", *words, *SHORT)
    shutil.rmtree(project / "runs" / "mine")
    _, err = python(project, "sweep.py", *words, *SHORT, code=2)
    assert err == "error: runs/sweeps.db holds a sweep 'mine' before this: give another --name\n"
    assert not (project / "runs" / "mine").exists()


@pytest.mark.full
def test_a_sweep_without_a_result_ends_with_exit_code_1(project):
    out, _ = python(project, "sweep.py", "--name", "mine", *GRID, "1,1.0", *SHORT, code=2)
    out, _ = python(project, "sweep.py", "--name", "mine", *GRID, "1:1.5:1", *SHORT, code=1)
    assert "0 complete, 0 pruned, 1 failed" in out


def test_a_trial_that_is_worse_than_the_median_is_pruned(project):
    words = ["--name", "mine", *GRID, "0.01,0.011,0.012,0.013,0.014,1e-7,0.015"]
    out, _ = python(project, "sweep.py", *words, "--", "--epochs", "12", PAUSE=0.1)
    trials = load_trials(project, "mine")
    states = [trial.state for trial in trials]
    assert states[:5] == [TrialState.COMPLETE] * 5
    assert states[5] == TrialState.PRUNED
    records = read_records(project / "runs/mine/trial-005")
    assert 2 <= len(records) < 12 and {record["event"] for record in records} == {"epoch"}
    assert "lr=1e-07   pruned after epoch" in out


def test_seeds_repeat_each_setting(project):
    words = ["--name", "mine", "--seeds", "3", "--lr", "0.001:0.1:log", "--trials", "2"]
    out, _ = python(project, "sweep.py", *words, *SHORT, "--seed", "4", COLUMNS=200)
    found = []
    for folder in sorted((project / "runs/mine").glob("trial-???")):
        options = json.loads((folder / "config.json").read_text())
        found.append((options["lr"], options["seed"]))
    rates = [lr for lr, _ in found]
    assert [seed for _, seed in found] == [4, 5, 6, 4, 5, 6]
    assert rates == [rates[0]] * 3 + [rates[3]] * 3 and rates[0] != rates[3]
    table = out[out.index("\n\n") + 2 :].split("\n\n")[0].splitlines()
    assert re.split(r"  +", table[0])[:4] == ["best run", "lr", "n", "val/accuracy"]
    assert [line.split()[2] for line in table[1:]] == ["3", "3"]


@pytest.mark.full
def test_a_resumed_sweep_may_be_longer_and_draws_new_values(project):
    words = ["--sampler", "random", "--lr", "0.001:0.1:log", "--trials", "2"]
    for name in ("mine", "other"):
        python(project, "sweep.py", "--name", name, *words, *SHORT)
    rates = [trial.params["lr"] for trial in load_trials(project, "mine")]
    assert rates == [trial.params["lr"] for trial in load_trials(project, "other")]
    resume = ["--resume", "--name", "mine"]
    _, err = python(project, "sweep.py", *resume, "--lr", "0.01:0.1", code=2)
    assert err == "error: --resume: runs/mine was started with other ranges\n"
    python(project, "sweep.py", *resume, "--trials", "4")
    assert [trial.params["lr"] for trial in load_trials(project, "mine")][:2] == rates
    check_whole(project, number=4, epochs=3)
    _, err = python(project, "sweep.py", "--name", "mine", *words, code=2)
    assert err.startswith("error: runs/mine is there: continue it with --resume")


def test_a_sweep_that_is_killed_twice_loses_and_doubles_nothing(project):
    words = ["--name", "mine", "--lr", "0.001:0.1:log", "--trials", "6", "--jobs", "2", "--resume"]
    words += ["--no-prune", "--", "--epochs", "4"]
    for starts in (3, 5):  # also in the midst of trials, whose processes live on
        process = start_sweep(project, *words, pause=0.3)
        wait_for_starts(project, process, starts)
        process.kill()
        process.communicate()
    python(project, "sweep.py", *words)
    check_whole(project, number=6, epochs=4)
    lines = (project / "runs/mine/starts.txt").read_text().splitlines()
    assert max(Counter(line.split()[0] for line in lines).values()) == 1  # each was waited for


@pytest.mark.parametrize("number", rest_is_full([signal.SIGINT, signal.SIGTERM]))
def test_a_stop_signal_stops_the_trials_too(project, number):
    words = ["--name", "mine", "--lr", "0.001:0.1:log", "--trials", "3", "--jobs", "2"]
    process = start_sweep(project, *words, "--", "--epochs", "9", pause=0.2)
    wait_for_starts(project, process, 2)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 128 + number
    assert "python sweep.py --resume --name mine" in err and "Traceback" not in err
    states = [trial.state for trial in load_trials(project, "mine")]
    assert states == [TrialState.RUNNING] * 2
    for folder in (project / "runs/mine").glob("trial-???"):
        assert len(read_records(folder)) < 9
    python(project, "sweep.py", "--resume")
    check_whole(project, number=3, epochs=9)
    starts = (project / "runs/mine/starts.txt").read_text().splitlines()
    assert sorted(line.split()[0] for line in starts) == [
        f"trial-00{index}" for index in (0, 0, 1, 1, 2)
    ]


@pytest.mark.full
def test_two_sweeps_share_a_storage(project):
    words = ["--lr", "0.001:0.1:log", "--trials", "5", "--jobs", "2", "--no-prune"]
    both = [start_sweep(project, "--name", name, *words, *SHORT) for name in ("mine", "other")]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0 and not err, err
    check_whole(project, number=5, epochs=3)
    assert [trial.state for trial in load_trials(project, "other")] == [TrialState.COMPLETE] * 5


@pytest.mark.full
def test_a_sweep_that_runs_is_not_started_twice(project):
    words = ["--name", "mine", "--lr", "0.001:0.1:log", "--trials", "1"]
    process = start_sweep(project, *words, "--", "--epochs", "5", pause=0.5)
    wait_for_starts(project, process, 1)
    _, err = python(project, "sweep.py", "--resume", code=2)
    assert err.startswith("error: runs/mine is in use by another process")
    process.communicate()
    check_whole(project, number=1, epochs=5)


@pytest.mark.full
def test_trials_of_the_real_main(rendered, tmp_path):
    folder = Path(shutil.copytree(rendered, tmp_path / "my_project"))
    words = ["--name", "mine", "--lr", "1e-3:1e-2:log", "--augment", "true,false", "--trials", "3"]
    words += ["--jobs", "2", "--", "--model", "mlp", "--quick", "--device", "cpu"]
    process = start_sweep(folder, *words)
    while not list((folder / "runs").glob("mine/trial-*/checkpoints/last.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    out, err = python(folder, "sweep.py", "--resume", COLUMNS=200)
    assert not err and "3 complete, 0 pruned, 0 failed" in out
    for trial in load_trials(folder, "mine"):
        run_dir = folder / f"runs/mine/trial-{trial.number:03d}"
        options = json.loads((run_dir / "config.json").read_text())
        assert {name: options[name] for name in trial.params} == trial.params
        assert [record["event"] for record in read_records(run_dir)].count("test") == 1
    python(folder, "compare.py", *(folder / "runs/mine").iterdir())
