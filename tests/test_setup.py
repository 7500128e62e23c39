"""What sets a project up for others: AGENTS.md, and the files for containers."""

import json
import os
import re
import shlex
import shutil
import sys
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path

import pytest
from rendering import render
from running import do, rest_is_full
from uv import find_uv_bin

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"`(\w+\.py)`: ((?:`\w+`(?:, )?)+)")


# ------------------------------------------------------------------------------------- AGENTS.md


def read_commands(project: Path) -> list[str]:
    """Return the commands of AGENTS.md, without their comments."""
    (block,) = BLOCK.findall((project / "AGENTS.md").read_text(encoding="utf-8"))
    return [line.partition(" #")[0].strip() for line in block.splitlines()]


@pytest.mark.parametrize(
    ("task", "backend", "whole"),
    rest_is_full([("tabular", "none", False), ("image_classification", "ddp", True)]),
)
def test_commands_of_agents_md(tmp_path, task, backend, whole):
    """But for the installation; mypy and the project's tests, which take long, in full."""
    project = render({"task": task, "distributed": backend, "logger": "none"}, tmp_path)
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    install, activate, *commands = read_commands(project)
    assert install == "uv sync" and activate == "source .venv/bin/activate"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = {}
    for command in commands:
        if whole or not re.search("mypy|pytest", command):
            shown[command] = do(command, project, PATH=path, PYTHONDONTWRITEBYTECODE=1)
    assert "--epochs" in shown["python main.py --help"]
    assert "test" in shown["python main.py --quick"]
    (run_dir,) = (project / "runs").iterdir()
    assert {"summary.md", "metrics.jsonl"} <= {path.name for path in run_dir.iterdir()}
    assert run_dir.name in shown["python compare.py runs/*"]
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before
    assert len(commands) == 6


@pytest.mark.xdist_group("product")  # one process renders the product, once
def test_agents_md_names_what_is_there(product):
    """The places to edit are in each project; it is short."""
    for project in product:
        text = project.files["AGENTS.md"]
        assert len(text.splitlines()) <= 27
        places = TABLE.findall(text)
        assert len(places) == 7
        for file, names in places:
            source = project.files[f"my_project/{file}"]
            for name in re.findall(r"\w+", names):
                pattern = rf"^(def |class )?{name}\b"
                assert re.search(pattern, source, re.MULTILINE), f"{file}: {name}"


# ---------------------------------------------------------------------------------- the containers

IGNORED = [".venv/bin/python", "runs/x/summary.md", "data/a.png", "my_project/__pycache__/a.pyc"]
IGNORED += ["my_project.egg-info/PKG-INFO", ".ruff_cache/a", "compare.png"]
# Gigabytes, which uv need not download.
BIG = r"(?:torch|torchvision|triton|nvidia-[\w-]+|cuda-[\w-]+)"


class Image:
    """The folder that stands for `/app` of an image, and what its Dockerfile sets."""

    def __init__(self, folder: Path, tools: Path):
        self.folder = folder
        self.folder.mkdir()
        self.variables = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self.variables["UV_PYTHON"] = sys.executable

    def build(self, project: Path) -> list[str]:
        """Carry out a Dockerfile, but for its FROM; return the command of a container."""
        for line in (project / "Dockerfile").read_text(encoding="utf-8").splitlines():
            word, _, rest = line.replace("/app", str(self.folder)).partition(" ")
            if word == "ENV":
                for setting in shlex.split(rest):
                    name, _, value = setting.partition("=")
                    self.variables[name] = value.replace("$PATH", self.variables["PATH"])
            elif word == "COPY":
                self.copy(project, *rest.split()[:-1])
            elif word == "RUN":
                do(rest, self.folder, **self.variables)
            elif word == "CMD":
                return json.loads(rest)
            else:
                assert word in ("FROM", "WORKDIR"), line
        raise AssertionError("no CMD")

    def copy(self, project: Path, *patterns: str) -> None:
        """Copy what the patterns match, but for what `.dockerignore` names."""
        lines = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
        ignored = [line for line in lines if line and not line.startswith("#")]
        for path in sorted(project.rglob("*")):
            name = path.relative_to(project)
            wanted = any(pattern == "." or name.match(pattern) for pattern in patterns)
            if wanted and path.is_file() and not is_ignored(name, ignored):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.folder / name)

    def site(self) -> Path:
        """Return where its packages are installed."""
        (site,) = (self.folder / ".venv").glob("lib/python*/site-packages")
        return site


def is_ignored(name: Path, patterns: list[str]) -> bool:
    """Return whether a path or a folder above it matches, with `**/` anywhere, else in the root."""
    for path in (name, *name.parents):
        for pattern in patterns:
            pattern = pattern.rstrip("/")
            if pattern.startswith("**/") and fnmatch(path.name, pattern.removeprefix("**/")):
                return True
            if path.parent == Path() and fnmatch(path.name, pattern):
                return True
    return False


def make_uv(folder: Path, project: Path) -> Path:
    """Make a `uv` that installs all packages of a project but the biggest; return its folder."""
    tools = folder / "tools"
    tools.mkdir()
    shutil.copy(project / "pyproject.toml", tools)
    do(f"'{find_uv_bin()}' lock --python '{sys.executable}'", tools)
    lock = (tools / "uv.lock").read_text(encoding="utf-8")
    names = sorted(set(re.findall(rf'^name = "({BIG})"$', lock, re.MULTILINE)))
    options = "".join(f" --no-install-package {name}" for name in names)
    (tools / "uv").write_text(f"#!/bin/sh\nexec '{find_uv_bin()}' \"$@\"{options}\n")
    (tools / "uv").chmod(0o755)
    return tools


def link_big_packages(site: Path) -> None:
    """Link what `make_uv` leaves out to the packages of this Python."""
    for dist in distributions():
        if re.fullmatch(BIG, dist.metadata["Name"]):
            for name in {file.parts[0] for file in dist.files if file.parts[0] != ".."}:
                if not (site / name).exists():
                    (site / name).symlink_to(dist.locate_file(name))


@pytest.mark.full
def test_dockerfile(tmp_path):
    """Its commands install the project in a new environment, where it trains.

    The dev container then installs the workspace and the tools in that environment. uv does not
    install PyTorch and CUDA, which are gigabytes: they are linked.
    """
    project = render({"task": "tabular", "distributed": "none", "logger": "none"}, tmp_path)
    for name in IGNORED:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("not for the image")
    image = Image(tmp_path / "app", make_uv(tmp_path, project))
    command = image.build(project)
    assert (image.folder / ".cookiecutter.json").exists()
    assert not (image.folder / "runs").exists() and not (image.folder / "data").exists()
    assert not (image.folder / "my_project" / "__pycache__").exists()
    installed = {path.name.partition("-")[0] for path in image.site().glob("*.dist-info")}
    assert {"my_project", "pandas", "torchmetrics"} <= installed and "pytest" not in installed
    link_big_packages(image.site())
    shown = do(f"{shlex.join(command)} --quick", image.folder, **image.variables)
    assert "runs/" in shown and list((image.folder / "runs").glob("*/summary.md"))

    container = json.loads((project / ".devcontainer" / "devcontainer.json").read_text())
    assert (project / ".devcontainer" / container["build"]["dockerfile"]).exists()
    shutil.rmtree(project / ".venv")  # it stood for one of the host's
    do(container["postCreateCommand"], project, **image.variables)
    assert not (project / ".venv").exists()
    link_big_packages(image.site())
    command = ["python", "-c", "import my_project; print(my_project.__file__)"]
    place = do(shlex.join(command), tmp_path / "tools", **image.variables)
    assert Path(place.strip()).parent == project / "my_project"
    do("ruff check . && python -m pytest --version", project, **image.variables)
