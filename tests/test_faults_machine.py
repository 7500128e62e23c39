"""Machines that have too little of something: exit code 2 and one line with the remedy."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_table import Report
from rendering import render
from running import FAST, PROGRAMS, python
from test_faults_resume import make_images

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets limits as Linux has them")
OPTIONS = ["--device", "cpu", "--quiet", "--quick", "--model", "mlp", "--dataset", "image_folder"]

Case = Callable[[Path, list[object]], str]


def small_shared_memory(project: Path, options: list[object]) -> str:
    """Run with a /dev/shm of 1 MiB; skip this case where nobody may mount one."""
    script = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    words = [sys.executable, "main.py", *options, "--workers", "2", "--image-size", "224"]
    command = ["unshare", "-m", "sh", "-c", script, "sh", *map(str, words)]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if "unshare: " in result.stderr or "mount: " in result.stderr:
        pytest.skip("cannot mount /dev/shm")
    assert result.returncode == 2, result.stderr
    return result.stderr


def few_descriptors(project: Path, options: list[object]) -> str:
    command = [PROGRAMS / "limit.py", "descriptors", 40, *options, "--workers", "4"]
    return python(project, *command, code=2)[1]


def killed_worker(project: Path, options: list[object]) -> str:
    command = [PROGRAMS / "limit.py", "worker", 3, *options, "--workers", "2"]
    return python(project, *command, code=2)[1]


def little_memory(project: Path, options: list[object]) -> str:
    command = [PROGRAMS / "limit.py", "memory", 500, *options, "--workers", "0"]
    return python(project, *command, "--image-size", "4000", code=2)[1]


def no_compiler(project: Path, options: list[object]) -> str:
    tools = project / "tools"
    tools.mkdir()
    for name in ("env", "sh", "ls"):
        (tools / name).symlink_to(shutil.which(name))
    environment = {"PATH": tools, "TORCHINDUCTOR_CACHE_DIR": project / "cache"}
    command = ["main.py", *FAST, "--quick", "--compile", *options[-2:]]
    return python(project, *command, code=2, **environment)[1]


CASES: dict[str, tuple[Case, str]] = {
    "a /dev/shm of 1 MiB": (small_shared_memory, "enlarge /dev/shm"),
    "40 open files": (few_descriptors, "ulimit -n 4096"),
    "a worker that is killed": (killed_worker, "try fewer --workers"),
    "no memory": (little_memory, "--image-size 4000 --grad-accum 2"),
    "no compiler": (no_compiler, "--compile needs a C++ compiler"),
}


@pytest.mark.faults
def test_limits_of_the_machine(tmp_path, report_faults: Report, record_property):
    project = render({"logger": "none"}, tmp_path / "project")
    images = make_images(tmp_path / "images")
    table, wrong = ["| machine | last line | |", "|---|---|---|"], 0
    for number, (name, (case, remedy)) in enumerate(CASES.items()):
        run_dir = tmp_path / str(number)
        options = [*OPTIONS, "--data-dir", images, "--batch-size", "16", "--run-dir", run_dir]
        lines = case(project, options).splitlines()
        errors = [line for line in lines if line.startswith(("error: ", "Traceback"))]
        good = errors == lines[-1:] and remedy.lower() in lines[-1].lower()  # behind warnings
        left = [str(path) for path in run_dir.rglob("*")] if run_dir.exists() else []
        wrong += not good or bool(left)
        verdict = "**wrong**" if left or not good else "right"
        table.append(f"| {name} | {' / '.join([*errors, *left])} | {verdict} |")
    record_property("table", "\n".join(table))
    note = ", ".join(CASES)
    report_faults("limits of the machine", len(CASES), wrong=wrong, note=note)


def test_a_killed_worker_is_named(tmp_path):
    """This one in `make test`, the others in `make test-faults`."""
    project = render({"logger": "none", "distributed": "none"}, tmp_path / "project")
    options = [*OPTIONS, "--data-dir", make_images(tmp_path / "images")]
    (line,) = killed_worker(project, [*options, "--run-dir", tmp_path / "run"]).splitlines()
    assert line.startswith("error: ") and "try fewer --workers" in line
    assert not (tmp_path / "run").exists()
