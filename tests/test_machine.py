"""A project and its machine: `--doctor`, GPUs, packages that cannot be imported, and threads."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from rendering import CHOICES, CONTEXT, render
from running import PROGRAMS, TORCHRUN, python, rest_is_full

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
    gpu = make_nvidia_smi(tmp_path, "NVIDIA GeForce GTX 1080, 535.104.05, 6.1")
    result = fresh_python(alone, "main.py", "--doctor", **gpu)
    assert result.returncode == 2
    *unused, line = result.stderr.splitlines()
    assert line.startswith("error: runs/: ") and "Not a directory" in line
    assert "torchrun" not in result.stdout and "torchvision" not in result.stdout
    if not torch.cuda.is_available():
        assert len(unused) == 1
        assert unused[0].startswith("error: NVIDIA GPU: NVIDIA GeForce GTX 1080 cannot be used: ")


# -------------------------------------------------------------------------------------- the GPUs

REINSTALL = "pip install --force-reinstall torch torchvision --index-url"
CUDA_12 = f"{REINSTALL} {CONTEXT['_torch_index']['cuda12']}"
CUDA_13 = f"{REINSTALL} {CONTEXT['_torch_index']['cuda']}"
NEWER_DRIVER = "driver 580 or newer"
SM_13 = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120"
SM_12 = "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"
NONE = ""  # nothing is said
NVIDIA_SMI = """#!/bin/sh
case "$1:$NVIDIA_SMI_PRINTS" in
*compute_cap:*,*,*) echo "$NVIDIA_SMI_PRINTS" ;;
*compute_cap:*,*) echo 'Field "compute_cap" is not a valid field to query.' && exit 2 ;;
*) echo "$NVIDIA_SMI_PRINTS" ;;
esac
"""
GPUS: list[tuple[list, str, list[str]]] = [  # see explain_gpus.py; the reason, and the ways out
    (["13.0", None, False], NONE, []),
    (["", None, False], NONE, []),
    (["13.0", "No devices were found", True], NONE, []),
    (["13.0", "NVIDIA-SMI has failed because it couldn't communicate", False], NONE, []),
    (
        ["13.0", "RTX 3080, 535.104.05, 8.6", True],
        "RTX 3080 cannot be used: driver 535 is too old for CUDA 13.0",
        [NEWER_DRIVER, CUDA_12],
    ),
    (
        ["13.0", "GTX 1080, 535.104.05, 6.1", True],
        "GTX 1080 cannot be used: driver 535 is too old for CUDA 13.0",
        [CUDA_12],
    ),
    (
        ["12.6", "GTX 1080, 470.82, 6.1\nGTX 1080, 470.82, 6.1\n", True],
        "GTX 1080 cannot be used: driver 470 is too old for CUDA 12.6",
        ["driver 525 or newer"],
    ),
    (
        ["13.0", "Tesla K80, 470.82", True],  # an old driver does not tell the capability
        "Tesla K80 cannot be used: driver 470 is too old for CUDA 13.0",
        [NEWER_DRIVER, f"driver 525 or newer with {CUDA_12}"],
    ),
    (
        ["12.6", "RTX 5090, 570.86, 12.0", False],
        "RTX 5090 cannot be used: Found no NVIDIA driver on your system",
        [f"{NEWER_DRIVER} with {CUDA_13}"],
    ),
    (
        ["", "RTX 3080, 590.48.01, 8.6", True],
        "RTX 3080 cannot be used: torch 2.14.1+cpu is not built for CUDA",
        [CUDA_13, CUDA_12],
    ),
    (
        ["13.0", "RTX 3080, 590.48.01, 8.6", True],
        "RTX 3080 cannot be used: Found no NVIDIA driver on your system",
        [],
    ),
    (
        ["13.0", "Failed to initialize NVML: Driver/library version mismatch", True],
        "the NVIDIA GPU cannot be used: Found no NVIDIA driver on your system",
        [NEWER_DRIVER, f"driver 525 or newer with {CUDA_12}"],
    ),
    (["13.0", None, False, [7, 5], SM_13], NONE, []),
    (["13.0", None, False, [8, 9], SM_13], NONE, []),
    (["13.0", None, False, [13, 0], SM_13], NONE, []),  # by compute_120
    (["12.6", None, False, [6, 1], SM_12], NONE, []),
    (["", None, False, [9, 0], "gfx90a"], NONE, []),  # ROCm
    (
        ["13.0", "GTX 1080, 580.65, 6.1", True, [6, 1], SM_13],
        "Seen cannot be used: torch 2.14.1+13.0 has no code for its compute capability 6.1",
        [CUDA_12],
    ),
    (
        ["12.6", "RTX 5090, 580.65, 12.0", True, [12, 0], SM_12],
        "Seen cannot be used: torch 2.14.1+12.6 has no code for its compute capability 12.0",
        [CUDA_13],
    ),
]


def make_nvidia_smi(folder: Path, prints: str) -> dict[str, str]:
    """Make a stand-in of nvidia-smi; return the environment in which it is found and prints."""
    tool = folder / "tools" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$NVIDIA_SMI_PRINTS"\n')
    tool.chmod(0o755)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "NVIDIA_SMI_PRINTS": prints}


needs_no_gpu = pytest.mark.skipif(
    os.name == "nt" or torch.cuda.is_available(), reason="needs a shell, and a machine without GPU"
)


@needs_no_gpu
def test_gpus_that_torch_cannot_use(project, tmp_path):
    make_nvidia_smi(tmp_path, "")
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps([case for case, _, _ in GPUS]))
    out, _ = python(project, PROGRAMS / "explain_gpus.py", cases, tmp_path / "tools")
    for line, (case, reason, ways) in zip(out.splitlines(), GPUS, strict=True):
        expected = f"{reason}. Try {', or '.join([*ways, '--device cpu'])}" if reason else ""
        assert line == expected, case


@needs_no_gpu
def test_a_run_warns_of_a_gpu_that_it_cannot_use(project, tmp_path):
    """In one line; --device cpu and a project for the CPU say nothing, --device cuda is refused."""
    gpu = make_nvidia_smi(tmp_path, "NVIDIA GeForce GTX 1080, 535.104.05, 6.1")
    _, err = python(project, "main.py", "--check-data", **gpu)
    (line,) = err.splitlines()
    assert line.startswith("warning: NVIDIA GeForce GTX 1080 cannot be used: ") and CUDA_12 in line
    _, err = python(project, "main.py", "--device", "cuda", **gpu, code=2)
    assert err == line.replace("warning", "error: --device cuda") + "\n"
    _, err = python(project, "main.py", "--check-data", "--device", "cpu", **gpu)
    assert err == ""
    for_cpu = render({"hardware": "cpu"}, tmp_path)
    for folder, hidden in ((project, ""), (for_cpu, "0")):
        gpu["CUDA_VISIBLE_DEVICES"] = hidden
        _, err = python(folder, "main.py", "--device", "cuda", **gpu, code=2)
        assert err.startswith(
            "error: --device cuda: this machine, or this build of torch, has none"
        )


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
