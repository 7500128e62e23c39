"""A project and its machine: `--doctor`, packages that cannot be imported, and threads."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, CONTEXT, render
from running import PROGRAMS, TORCHRUN, rest_is_full

MISSING = 'raise ModuleNotFoundError("No module named {0!r}", name={0!r})'
MISMATCH = 'raise RuntimeError("operator torchvision::nms does not exist")'  # of different builds
INDEX = CONTEXT["_torch_index"]["cuda"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project. Read it, but write nothing into it."""
    return render({}, tmp_path_factory.mktemp("machine"))


def fresh_python(
    folder: Path, *arguments: object, **environment: object
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with more in its environment; nothing is imported beforehand."""
    command = [sys.executable, *map(str, arguments)]
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def replace_package(folder: Path, package: str, text: str) -> Path:
    """Make a package that stands in for the real one; return the folder to put on PYTHONPATH."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(text + "\n")
    return folder


# ------------------------------------------------------------------------------------ the doctor


def test_doctor(project):
    before = sorted(project.rglob("*.json"))
    result = fresh_python(project, "main.py", "--doctor", "--evaluate", "nowhere.pt")
    assert result.returncode == 0 and not result.stderr, result.stderr
    rows = {line[:16].strip(): line[16:].strip() for line in result.stdout.splitlines()}
    assert rows["torchvision"] == version("torchvision")
    assert rows["torch's build"].startswith(torch.__version__)
    assert "GiB free" in rows["cpu"] and "GiB free" in rows["runs/"]
    assert rows["cpu, fp32"] == rows["cpu, bf16"] == "works"
    assert rows["cpu, fp16"].startswith("not used: ")
    assert rows["gloo, torchrun"] == "2 processes work"
    assert "GiB free" in rows["/dev/shm"] and "at most" in rows["open files"]
    assert "with locks" in rows["runs/"] and rows["C++ compiler"]
    assert ("cuda:0, fp16" in rows) == torch.cuda.is_available()
    assert sorted(project.rglob("*.json")) == before and not (project / "runs").exists()


def test_doctor_names_what_is_wrong(tmp_path):
    answers = {"task": "tabular", "distributed": "none", "logger": "none"}
    alone = render(answers, tmp_path)
    (alone / "runs").write_text("a file")
    result = fresh_python(alone, "main.py", "--doctor")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: runs/: ") and "Not a directory" in line
    assert "torchrun" not in result.stdout and "torchvision" not in result.stdout


# ----------------------------------------------------------------------------------- the imports


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            MISSING.format("torchvision"),
            "No module named 'torchvision'; to install what is required: "
            f"pip install torch torchvision --index-url {INDEX} && pip install -e .",
        ),
        (
            MISMATCH,
            "cannot import torchvision: operator torchvision::nms does not exist; to repair it: "
            f"pip install --force-reinstall torch torchvision --index-url {INDEX}",
        ),
    ],
    ids=["missing", "mismatch"],
)
def test_torchvision_that_cannot_be_imported(tmp_path, text, line):
    project = render({"hardware": "cuda", "logger": "none"}, tmp_path)
    path = replace_package(tmp_path, "torchvision", text)
    result = fresh_python(project, "main.py", "--quick", PYTHONPATH=path)
    assert result.returncode == 2
    assert result.stderr == f"error: {line}\n"


def test_a_required_package_that_is_missing(tmp_path):
    project = render({"logger": "none"}, tmp_path)
    settings = project / "pyproject.toml"
    text = settings.read_text().replace('    "tqdm>=', '    "never-made>=1",\n    "tqdm>=')
    settings.write_text(text)
    result = fresh_python(project, "main.py", "--help")
    assert result.returncode == 2
    assert result.stderr == (
        "error: never-made is not installed; to install it: pip install -e .\n"
    )


@pytest.mark.parametrize("hardware", CHOICES["hardware"])
def test_install_command(tmp_path, hardware):
    for task, packages in {
        "image_classification": "torch torchvision",
        "language_modeling": "torch",
    }.items():
        project = render({"task": task, "hardware": hardware, "logger": "none"}, tmp_path / task)
        code = "from environment import *; print(install_command()); print(repair_command())"
        result = fresh_python(project / "my_project" / "engine", "-c", code)  # without torch
        index = CONTEXT["_torch_index"][hardware]
        source = f"{packages} --index-url {index}" if index else packages
        install, repair = result.stdout.splitlines()
        assert install == (f"pip install {source} && " if index else "") + "pip install -e ."
        assert repair == f"pip install --force-reinstall {source}"


@pytest.mark.parametrize("distributed", CHOICES["distributed"])
def test_torch_that_is_missing(tmp_path, distributed):
    project = render({"distributed": distributed}, tmp_path)
    path = replace_package(tmp_path, "torch", MISSING.format("torch"))
    result = fresh_python(project, "main.py", PYTHONPATH=path)
    assert result.returncode == 2
    line = "No module named 'torch'; to install what is required: pip install -e ."
    assert result.stderr == f"error: {line}\n"


@pytest.mark.parametrize(
    ("text", "last"),
    rest_is_full(
        [
            ("import modles", "ModuleNotFoundError: No module named 'modles'"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("from . import layers", "RuntimeError: mine"),
            ("from json import nothing", "ImportError: "),
            ("import json\njson.nothing", "AttributeError: "),
        ],
        lane=2,
    ),
)
def test_mistakes_of_ones_own_keep_their_traceback(tmp_path, text, last):
    project = render({}, tmp_path)
    package = project / "my_project"
    (package / "layers.py").write_text("raise RuntimeError('mine')\n")
    (package / "models.py").write_text(f"{text}\n")
    result = fresh_python(project, "main.py")
    assert result.returncode not in (0, 2)
    assert "Traceback" in result.stderr and 'models.py", line ' in result.stderr
    assert result.stderr.splitlines()[-1].startswith(last), result.stderr


# ----------------------------------------------------------------------------------- the threads

PRINT_THREADS = PROGRAMS / "print_threads.py"
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not tell"
)


@needs_affinity
def test_threads_of_two_processes(project, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    result = fresh_python(project, *TORCHRUN, 2, PRINT_THREADS, PYTHONPATH=project)
    assert result.stdout == "4\n", result.stderr


@needs_affinity
def test_threads_depend_on_processes_and_on_what_a_person_chose(project):
    cases = {"1 1": "5", "2 1": "4", "3 1": "2", "16 1": "1", "2 6": "5"}
    result = fresh_python(project, PRINT_THREADS, *cases, PYTHONPATH=project)
    assert result.stdout.split() == list(cases.values()), result.stderr
