"""What a project knows of the machine: `--doctor`, packages that cannot be imported, and threads."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, CONTEXT, render

MISSING = 'raise ModuleNotFoundError("No module named {0!r}", name={0!r})'
MISMATCH = 'raise RuntimeError("operator torchvision::nms does not exist")'  # torch and torchvision of different builds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project. Read it, but write nothing into it."""
    return render({}, tmp_path_factory.mktemp("machine"))


def python(folder: Path, *arguments: object, **environment: object) -> subprocess.CompletedProcess:
    """Run Python in a folder, with more in its environment."""
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def replaced(folder: Path, package: str, text: str) -> Path:
    """Make a package that stands in for the real one, and return the folder to put on PYTHONPATH."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(text + "\n")
    return folder


# ---------------------------------------------------------------------------------------------------------- the doctor


def test_doctor(project):
    before = sorted(project.rglob("*.json"))
    result = python(project, "main.py", "--doctor", "--evaluate", "nowhere.pt")
    assert result.returncode == 0 and not result.stderr, result.stderr
    rows = {line[:16].strip(): line[16:].strip() for line in result.stdout.splitlines()}
    assert rows["torchvision"] == version("torchvision")
    assert rows["torch's build"].startswith(torch.__version__)
    assert "GiB free" in rows["cpu"] and "GiB free" in rows["runs/"]
    assert rows["cpu, fp32"] == rows["cpu, bf16"] == "works" and rows["cpu, fp16"].startswith("not used: ")
    assert rows["gloo, torchrun"] == "2 processes work"
    assert ("cuda:0, fp16" in rows) == torch.cuda.is_available()
    assert sorted(project.rglob("*.json")) == before and not (project / "runs").exists()


def test_doctor_names_what_is_wrong(tmp_path):
    alone = render({"task": "tabular_regression", "distributed": "none", "logger": "none"}, tmp_path)
    (alone / "runs").write_text("a file")
    settings = alone / "pyproject.toml"
    settings.write_text(settings.read_text().replace('    "tqdm>=', '    "never-made>=1",\n    "tqdm>='))
    result = python(alone, "main.py", "--doctor")
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("error: never-made: No package metadata")
    assert second.startswith("error: runs/: ") and "Not a directory" in second
    assert "torchrun" not in result.stdout and "torchvision" not in result.stdout


# ---------------------------------------------------------------------------------------------------------- the imports


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            MISSING.format("torchvision"),
            "utils.py, line 14: No module named 'torchvision'; to install what is required: "
            "pip install torch torchvision --index-url {index} && pip install -e .",
        ),
        (
            MISMATCH,
            "cannot import torchvision: operator torchvision::nms does not exist; to mend that: "
            "pip install --force-reinstall torch torchvision --index-url {index}",
        ),
    ],
    ids=["missing", "mismatch"],
)
def test_torchvision_that_cannot_be_imported(tmp_path, text, line):
    folder = render({"hardware": "cuda", "logger": "none"}, tmp_path)
    result = python(folder, "main.py", "--quick", PYTHONPATH=replaced(tmp_path, "torchvision", text))
    assert result.returncode == 2
    assert result.stderr == f"error: {line.format(index=CONTEXT['_torch_index']['cuda'])}\n"


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
def test_install_command(tmp_path, hardware):
    for task, packages in {"image_classification": "torch torchvision", "language_modeling": "torch"}.items():
        folder = render({"task": task, "hardware": hardware, "logger": "none"}, tmp_path / task)
        code = "import doctor; print(*map(doctor.install_command, ['', 'torch', 'yaml']), sep='\\n')"
        missing, torch_is_broken, other_is_broken = python(folder, "-c", code).stdout.splitlines()
        index = CONTEXT["_torch_index"][hardware]
        source = f"{packages} --index-url {index}" if index else packages
        assert missing == (f"pip install {source} && " if index else "") + "pip install -e ."
        assert torch_is_broken == f"pip install --force-reinstall {source}"
        assert other_is_broken.lower() == "pip install --force-reinstall pyyaml"


@pytest.mark.parametrize("distributed", CHOICES["distributed"])
def test_torch_that_is_missing(tmp_path, distributed):
    folder = render({"distributed": distributed}, tmp_path)
    result = python(folder, "main.py", PYTHONPATH=replaced(tmp_path, "torch", MISSING.format("torch")))
    assert result.returncode == 2
    message = "No module named 'torch'; to install what is required: pip install -e ."
    assert re.fullmatch(rf"error: runtime.py, line \d+: {re.escape(message)}\n", result.stderr), result.stderr


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("import json\njson.nothing", "AttributeError: "),
        ("from json import nothing", "ImportError: "),
        ("import layers", "RuntimeError: "),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_mistakes_of_ones_own_keep_their_traceback(tmp_path, text, last):
    folder = replaced(render({}, tmp_path), "layers", "raise RuntimeError('mine')")
    (folder / "runtime.py").write_text(f"import doctor\n{text}\n")
    result = python(folder, "main.py")
    assert "Traceback" in result.stderr and result.stderr.splitlines()[-1].startswith(last), result.stderr


# ---------------------------------------------------------------------------------------------------------- the threads

THREADS = """
import os, sys
os.sched_getaffinity = lambda _process: range(8)  # the cores of a larger machine
import torch, runtime, utils
if not sys.argv[1:]:  # under torchrun
    with runtime.start(utils.parse_arguments(["--device", "cpu"])) as here:
        if here.rank == 0:
            print(torch.get_num_threads())
for case in sys.argv[1:]:
    processes, os.environ["OMP_NUM_THREADS"] = case.split()
    torch.set_num_threads(5)
    runtime.share_cores(int(processes))
    print(torch.get_num_threads())
"""
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")


@needs_affinity
def test_threads_of_two_processes(project, tmp_path, monkeypatch):
    (tmp_path / "threads.py").write_text(THREADS)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    result = python(project, *launcher, tmp_path / "threads.py", PYTHONPATH=project)
    assert result.stdout == "4\n", result.stderr


@needs_affinity
def test_threads_go_by_processes_and_by_what_a_person_chose(project):
    cases = {"1 1": "5", "2 1": "4", "3 1": "2", "16 1": "1", "2 6": "5"}  # processes, OMP_NUM_THREADS
    result = python(project, "-c", THREADS, *cases)
    assert result.stdout.split() == list(cases.values()), result.stderr
