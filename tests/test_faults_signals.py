"""Signals to each process of a run at each moment, dead ranks and hung ones."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from faults_table import Report
from rendering import render
from running import (
    FAST,
    PROGRAMS,
    TORCHRUN,
    read_checkpoint,
    records,
    run,
    same_weights,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
full = pytest.mark.faults

OPTIONS = [*FAST, "--epochs", "2", "--save-every", "1", "--ema", "0.9"]
STEPS = {"import": 0, "first": 1, "epoch": 20, "validation": 17, "save": 0}  # done at the moment
LIMIT = 120  # seconds against hanging; 15 are promised
STOP, KILL = ("SIGINT", "SIGTERM"), ("SIGKILL",)


class Situation(NamedTuple):
    """A signal to `alone`, a process without torchrun, to `torchrun`, or to a rank."""

    number: str
    target: str
    moment: str


def list_situations() -> list[Situation]:
    """Return all situations: those of a process alone, then those of two processes."""
    situations = []
    for moment in STEPS:
        for number in ("SIGINT", "SIGTERM", "SIGKILL"):
            situations.append(Situation(number, "alone", moment))
    situations += [Situation(number, "alone", "epoch") for number in ("SIGHUP", "SIGUSR1")]
    for moment in STEPS:
        for number in ("SIGINT", "SIGTERM"):
            situations.append(Situation(number, "torchrun", moment))
    situations += [Situation(number, "torchrun", "epoch") for number in ("SIGHUP", "SIGKILL")]
    for moment, target in (("first", "rank 0"), ("epoch", "rank 1"), ("validation", "rank 0")):
        situations.append(Situation("SIGTERM", target, moment))
    for moment, target in (("import", "rank 1"), ("epoch", "rank 0"), ("save", "rank 0")):
        situations.append(Situation("SIGKILL", target, moment))
    situations += [
        Situation("SIGUSR1", "rank 0", "epoch"),
        Situation("SIGINT", "rank 1", "validation"),
        Situation("SIGKILL", "rank 1", "save"),
    ]
    return situations


SITUATIONS = list_situations()


class Ending(NamedTuple):
    """How a run ended after a signal."""

    code: int
    seconds: float
    orphans: int
    text: str


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project without a tracker."""
    return render({"logger": "none"}, tmp_path_factory.mktemp("signals"))


@pytest.fixture(scope="module")
def wholes(project: Path) -> dict[int, Path]:
    """The runs of one and of two processes that nothing disturbs."""
    folders = {processes: project / "runs" / f"whole-{processes}" for processes in (1, 2)}
    for processes, folder in folders.items():
        options = [*OPTIONS, "--run-dir", folder]
        run(project, *options, processes=processes, torchrun=False)
    return folders


def start_marked(
    project: Path, folder: Path, *command: object, processes: int = 1, **variables: str
) -> subprocess.Popen[str]:
    """Start a program of this test's own; all its processes have `FOLDER` in their environment."""
    folder.mkdir(exist_ok=True)
    launcher = [*TORCHRUN, str(processes), "--"] if processes > 1 else []  # or it takes --monitor
    environment = os.environ | {"FOLDER": str(folder), "PYTHONPATH": str(project)} | variables
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, command)],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=(folder / "output.txt").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=restore_signals,
    )


def restore_signals() -> None:
    """Let signals end the process, also if these tests were started by nohup."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def find_marked(folder: Path) -> dict[int, str]:
    """Return the living processes that were started with this folder, and their ranks."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (path / "environ").read_bytes().split(b"\0")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if f"FOLDER={folder}".encode() in variables and state != "Z":
                ranks = [item[5:].decode() for item in variables if item.startswith(b"RANK=")]
                found[int(path.name)] = ranks[0] if ranks else ""
    return found


def wait_until(condition: object, process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until a function returns something true, while a process runs."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, read_output(folder)
        time.sleep(0.01)


def read_output(folder: Path) -> str:
    return (folder / "output.txt").read_text(errors="replace")


def end(process: subprocess.Popen[str], folder: Path) -> Ending:
    """Wait until all processes have ended, but not for ever; kill the rest."""
    began, code = time.monotonic(), None
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = process.wait(LIMIT)
    seconds = time.monotonic() - began
    while find_marked(folder) and time.monotonic() < began + seconds + 2:
        time.sleep(0.05)  # those that the kernel kills with their parent
    orphans = find_marked(folder)
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    code = 1000 if code is None else code
    return Ending(code, seconds, len(orphans), read_output(folder))


def meet(project: Path, folder: Path, situation: Situation) -> Ending:
    """Start a run, send the signal at its moment, and return how it ended."""
    processes = 1 if situation.target == "alone" else 2
    command = [PROGRAMS / "pausing.py", situation.moment, folder, *OPTIONS]
    process = start_marked(
        project, folder, *command, "--run-dir", folder / "run", processes=processes
    )
    marks = [folder / str(rank) for rank in range(processes)]
    wait_until(lambda: all(mark.exists() for mark in marks), process, folder)
    receiver = process.pid
    if situation.target.startswith("rank"):
        ranks = {rank: pid for pid, rank in find_marked(folder).items()}
        receiver = ranks[situation.target[-1]]
    os.kill(receiver, getattr(signal, situation.number))
    (folder / "go").touch()
    return end(process, folder)


def expected_codes(situation: Situation) -> set[int]:
    """Return the exit codes that are right; torchrun has its own."""
    number = getattr(signal, situation.number)
    if situation.target == "alone":
        caught = situation.moment != "import" and number != signal.SIGKILL
        return {128 + number} if caught else {-number}
    if situation.target == "torchrun" and number == signal.SIGKILL:
        return {-number}
    return {1}


def find_faults(project: Path, whole: Path, folder: Path, situation: Situation) -> tuple[int, int]:
    """Resume the run; return whether steps were lost, and whether its result is another one."""
    run_dir = folder / "run"
    done = 0
    if (run_dir / "checkpoints" / "last.pt").exists():
        done = read_checkpoint(run_dir)["step"]
    lost = done < STEPS[situation.moment] - 1
    processes = 1 if situation.target == "alone" else 2
    options = [*OPTIONS, "--resume", "--run-dir", run_dir]
    run(project, *options, processes=processes, torchrun=False)
    same = same_weights(whole, run_dir) and records(whole) == records(run_dir)
    return lost, not same or bool(list(run_dir.rglob("*.tmp.*")))


@full
def test_signals(project, wholes, tmp_path, report_faults: Report, record_property):
    """No hang, no orphan, the right exit code; the resumed run ends as one that was not stopped."""
    table = ["| signal | to | at | exit code | seconds | |", "|---|---|---|---|---|---|"]
    lost = wrong = hung = 0
    slowest = 0.0
    for number, situation in enumerate(SITUATIONS):
        folder = tmp_path / str(number)
        ending = meet(project, folder, situation)
        whole = wholes[1 if situation.target == "alone" else 2]
        lost_here, wrong_here = find_faults(project, whole, folder, situation)
        traceback = situation.target == "alone" and "Traceback" in ending.text
        wrong_here |= ending.code not in expected_codes(situation) or traceback
        lost, wrong = lost + lost_here, wrong + wrong_here
        hung += ending.code == 1000 or ending.orphans > 0
        slowest = max(slowest, ending.seconds)
        verdict = "**wrong**" if lost_here or wrong_here or ending.orphans else "resumed exactly"
        row = f"{ending.code} | {ending.seconds:.1f} | {verdict} |"
        table.append(f"| {situation.number} | {situation.target} | {situation.moment} | {row}")
    record_property("table", "\n".join(table))
    note = f"at most {slowest:.0f} s; no orphans, at most one step lost"
    kind = "stop signals: process, torchrun, rank x import, steps, validation, save"
    report_faults(kind, len(SITUATIONS), lost, wrong, hung, note)


# ---------------------------------------------------------------------------- dead and hung ranks


def stop_rank(project: Path, folder: Path, number: int, rank: int, *options: str) -> Ending:
    """Start two processes, kill or freeze one in the middle of the run, and wait for the end."""
    command = [PROGRAMS / "pausing.py", "epoch", folder, *OPTIONS, *options]
    process = start_marked(project, folder, *command, "--run-dir", folder / "run", processes=2)
    wait_until(lambda: (folder / "0").exists() and (folder / "1").exists(), process, folder)
    ranks = {rank: pid for pid, rank in find_marked(folder).items()}
    os.kill(ranks[str(rank)], number)
    (folder / "go").touch()
    return end(process, folder)


@full
@pytest.mark.parametrize(
    ("name", "number", "promised"),
    [
        ("a rank that is killed", signal.SIGKILL, "5"),
        ("a rank that hangs, `--dist-timeout 8`", signal.SIGSTOP, "8 and torchrun's 30"),
    ],
    ids=["killed", "hung"],
)
def test_ranks_that_die_or_hang(
    project, wholes, tmp_path, report_faults: Report, name, number, promised
):
    """The job ends, nothing is left behind, and it resumes exactly."""
    lost = wrong = hung = 0
    slowest = 0.0
    situation = Situation(number.name, "rank", "epoch")
    for rank in (0, 1):
        folder = tmp_path / str(rank)
        ending = stop_rank(project, folder, number, rank, "--dist-timeout", "8")
        lost_here, wrong_here = find_faults(project, wholes[2], folder, situation)
        lost, wrong = lost + lost_here, wrong + wrong_here + (ending.code != 1)
        hung += ending.seconds > LIMIT or ending.orphans > 0
        slowest = max(slowest, ending.seconds)
    report_faults(name, 2, lost, wrong, hung, f"{slowest:.0f} s of the promised {promised}")


# ------------------------------------------------------------------------- one message for a job


def list_mistakes(project: Path, whole: Path, folder: Path) -> dict[str, list[object]]:
    """Return what is typed behind `torchrun` for each mistake."""
    other = folder / "other"
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("notes")
    quick = ["main.py", *FAST, "--quick"]
    interrupt = [PROGRAMS / "interrupt.py", "mistake", 2]
    return {
        "unknown option": [*quick, "--epoch", 3],
        "no such metric": [*quick, "--monitor", "nonsense"],
        "no such device": [*quick, "--device", "mps"],
        "other files": [*quick, "--run-dir", other],
        "refused resume": ["main.py", "--resume", "--run-dir", whole, "--epochs", 1],
        "on rank 0": [*interrupt, 0, *FAST, "--quick", "--run-dir", folder / "0"],
        "on rank 1": [*interrupt, 1, *FAST, "--quick", "--run-dir", folder / "1"],
    }


@full
def test_one_message_for_a_job(project, wholes, tmp_path, report_faults: Report, record_property):
    """Not one for each rank, and no traceback of a rank whose peer has gone."""
    table, wrong = ["| mistake | lines |", "|---|---|"], 0
    mistakes = list_mistakes(project, wholes[2], tmp_path / "files")
    for number, (name, command) in enumerate(mistakes.items()):
        folder = tmp_path / str(number)
        ending = end(start_marked(project, folder, *command, processes=2), folder)
        lines = [line for line in ending.text.splitlines() if "error: " in line or "[rank" in line]
        wrong += ending.code != 1 or len(lines) != 1 or ending.orphans > 0
        table.append(f"| {name} | {' / '.join(lines)} |")
    record_property("table", "\n".join(table))
    report_faults("mistakes under torchrun", len(mistakes), wrong=wrong, note="one message each")
