"""Required packages, and the cores that can be used.

The package imports this module before anything else: it needs nothing but the standard library.
"""

# {% if cookiecutter.distributed != "none" %}
import ctypes
# {% endif %}
import importlib
import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WITHOUT_TORCH = {"compare.py"}  # scripts that do without PyTorch, and start faster
# {% if cookiecutter.logger != "none" %}
# Without these, a run prints a warning and continues.
TRACKER = """
# {% include "trackers/" ~ cookiecutter.logger ~ "/requirements.txt" ignore missing %}
"""
# {% endif %}


def check_packages() -> None:
    """Import PyTorch, and look for the other packages that the project requires.

    If one is missing or broken, a script of this project ends with one line and exit code 2; for
    others that import the package, such as a notebook, that line is an ImportError.
    """
    script = get_script()
    # {% if cookiecutter.distributed != "none" %}
    end_with_launcher()  # before the slow imports
    # {% endif %}
    if script is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports: no traceback
    if script in WITHOUT_TORCH:
        return
    problem = find_broken() or find_missing()
    if problem and script is None:
        raise ImportError(problem)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


# {% if cookiecutter.distributed != "none" %}
def end_with_launcher() -> None:
    """If torchrun is killed, let its processes be killed too.

    On Linux they would live on, hold the run directory's lock, and join the next job on the port.
    """
    if sys.platform == "linux" and "RANK" in os.environ:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


# {% endif %}
def get_script() -> str | None:
    """Return the name of the running script if it lies in the project's root, as main.py does."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or Path(file).resolve().parent != PROJECT:
        return None
    return Path(file).name


def find_broken() -> str:
    """Return why PyTorch cannot be imported and what to type then, or an empty string."""
    for name in pytorch_packages():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            return f"{error}; to install what is required: {install_command()}"
        except (ImportError, OSError, RuntimeError) as error:  # e.g. made for another torch
            return f"cannot import {name}: {first_line(error)}; to repair it: {repair_command()}"
    return ""


def find_missing() -> str:
    """Return which required package is missing and what to type then, or an empty string."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import

    required = required_packages()
    # {% if cookiecutter.logger != "none" %}
    required = [name for name in required if name not in names_in(TRACKER)]
    # {% endif %}
    for name in required:
        if find_spec(re.sub(r"\W", "_", name)) is None:
            try:
                distribution(name)  # not every package is imported by its name, e.g. sklearn
            except PackageNotFoundError:
                return f"{name} is not installed; to install it: {install_command()}"
    return ""


def required_packages() -> list[str]:
    """Return the names of the project's dependencies on every platform."""
    return names_in(read_setting(r"^dependencies = \[(.*?)^\]$"))


def names_in(requirements: str) -> list[str]:
    """Return the names of the packages in a list of requirements, one a line."""
    names = []
    for line in requirements.splitlines():
        match = re.match(r'\s*"?([\w.-]+)', line)
        if match and ";" not in line:
            names.append(match[1])
    return names


def read_setting(pattern: str) -> str:
    """Return what the group of `pattern` matches in pyproject.toml, or an empty string."""
    path = PROJECT / "pyproject.toml"
    if not path.exists():  # the package alone is installed
        return ""
    match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def pytorch_packages() -> list[str]:
    """Return torch, and torchvision if the project requires it."""
    return [name for name in ("torch", "torchvision") if name in ("torch", *required_packages())]


def pytorch_index() -> str:
    """Return the address of the index that PyTorch comes from; empty if that is PyPI."""
    return read_setting(r'^url = "(\S+)"$')


def install_command() -> str:
    """Return what to type to install the dependencies; PyTorch may come from its own index."""
    index = pytorch_index()
    if not index:
        return "pip install -e ."
    return f"pip install {' '.join(pytorch_packages())} --index-url {index} && pip install -e ."


def repair_command() -> str:
    """Return what to type to install PyTorch's packages again, in versions that fit."""
    index = pytorch_index()
    command = f"pip install --force-reinstall {' '.join(pytorch_packages())}"
    return f"{command} --index-url {index}" if index else command


def usable_cores() -> int:
    """Return the number of CPU cores that this program may use, e.g. under taskset or SLURM."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
