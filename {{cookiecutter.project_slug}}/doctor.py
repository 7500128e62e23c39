"""What this machine can do, and what to install where a package cannot be imported."""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

PROJECT = Path(__file__).parent


class Doctor(argparse.Action):
    """An option that examines this machine and exits, as --help does, with code 2 where something is wrong."""

    def __init__(self, option_strings: list[str], dest: str, **keywords: Any):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        errors = ""
        for subject, finding, well in examine():
            print(f"{subject:<16} {finding}", flush=True)
            errors += "" if well else f"error: {subject}: {finding}\n"
        parser.exit(2 if errors else 0, errors)


def examine() -> Iterator[tuple[str, str, bool]]:
    """Yield what was examined, what was found, and whether all is well."""
    import torch  # here and below, for this file has to work where torch does not

    import runtime

    yield "python", f"{platform.python_version()} on {platform.platform()}", True
    for name in required_packages():
        yield name, *attempt(version, name)
    gpu = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    yield "torch's build", f"{torch.__version__}, for {'CPU' if gpu == 'ROCm None' else gpu}", True
    gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    gpus += [torch.device("mps")] if torch.backends.mps.is_available() else []
    for device in (torch.device("cpu"), *gpus):
        yield str(device), *attempt(describe, device)
        for precision in ("fp32", "bf16", "fp16"):
            yield f"{device}, {precision}", *attempt(train_a_step, device, precision)
    if not gpus:
        yield "cuda", attempt(torch.cuda.init)[0], True  # tells why there is none
    if hasattr(runtime, "dist"):  # this project can train in several processes
        for backend, processes in {"gloo": 2, "nccl": torch.cuda.device_count()}.items():
            yield f"{backend}, torchrun", *(attempt(launch, backend, processes) if processes else ("no GPU", True))
    yield "runs/", *attempt(write_to_disk)


def attempt(function: Callable[..., str | None], *args: Any) -> tuple[str, bool]:
    """Return what `function` finds, or why it fails, and whether all is well."""
    from runtime import UserError

    try:
        return function(*args) or "works", True
    except UserError as error:  # what this project does on no machine
        return f"not used: {error}", True
    except Exception as error:
        return first_line(error), False


def describe(device: Any) -> str:
    """Return a device's name and its free memory."""
    import torch

    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {torch.cuda.mem_get_info(device)[0] / 2**30:.1f} GiB free"
    memory = Path("/proc/meminfo")  # on Linux
    free = re.search(r"MemAvailable:\s*(\d+)", memory.read_text() if memory.exists() else "")
    return f"{platform.machine()}, {usable_cores()} cores" + (f", {int(free[1]) / 2**20:.1f} GiB free" if free else "")


def train_a_step(device: Any, precision: str) -> None:
    """Run a small model forward and backward, as a step of training does."""
    import torch

    from runtime import find_precision

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(find_precision(precision, device))
    weight = torch.ones(64, 64, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        product = weight @ weight
    (gradient,) = torch.autograd.grad(product.sum(), weight)
    if not (gradient == 128).all():
        raise ArithmeticError("the gradient is wrong")


def launch(backend: str, processes: int) -> str:
    """Let processes that torchrun starts `add_up`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    result = subprocess.run([*launcher, __file__, backend], capture_output=True, text=True, timeout=300)
    if result.returncode:
        raise RuntimeError(next(iter(re.findall(r"\w*(?:Error|Exception): .*", result.stderr)), "torchrun failed"))
    return f"{processes} processes work"


def add_up(backend: str) -> None:
    """Meet the other processes, and add up a tensor with them."""
    import torch
    import torch.distributed as dist

    device = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if backend == "nccl" else "cpu")
    dist.init_process_group(backend, device_id=device if backend == "nccl" else None)
    total = torch.ones(1000, device=device)
    dist.all_reduce(total)
    if not (total == dist.get_world_size()).all():
        raise ArithmeticError("the sum over processes is wrong")
    dist.destroy_process_group()


def write_to_disk() -> str:
    """Return how much the runs folder has room for, after writing there."""
    folder = Path("runs") if Path("runs").exists() else Path()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(2**20))
    return f"writable, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def settings(pattern: str) -> str:
    """Return what the group in `pattern` matches in pyproject.toml."""
    file = PROJECT / "pyproject.toml"
    match = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL) if file.exists() else None
    return match[1] if match else ""


def required_packages() -> list[str]:
    """Return the packages that are required on every platform."""
    return re.findall(r'"([\w.-]+)[^";]*"', settings(r"^dependencies = \[(.*?)\]$"))


def install_command(broken: str = "") -> str:
    """Return the command that installs what is missing, or a broken package anew; PyTorch's from their index."""
    pytorch = [name for name in ("torch", "torchvision") if name in (*required_packages(), broken)]
    if broken and broken not in pytorch:
        return f"pip install --force-reinstall {packages_distributions().get(broken, [broken])[0]}"
    index = settings(r'^url = "(\S+)"$')
    command = " ".join([*pytorch, f"--index-url {index}"] if index else pytorch)
    if broken:
        return f"pip install --force-reinstall {command}"
    return f"pip install {command} && pip install -e ." if index else "pip install -e ."


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End with one line where a package is missing or fails as it is imported, with a traceback where it is not that.

    Python calls this with what nobody has caught.
    """
    own = {path.stem for path in PROJECT.iterdir()} | {"__main__"}
    frames = [(frame, line, frame.f_globals["__name__"].partition(".")[0]) for frame, line in walk_tb(trace)]
    packages = [name for frame, _, name in frames if frame.f_code.co_name == "<module>" and name not in own]
    if isinstance(error, ModuleNotFoundError):
        *_, where = [
            f"{Path(frame.f_code.co_filename).name}, line {line}" for frame, line, name in frames if name in own
        ]
        message = f"{where}: {first_line(error)}; to install what is required: {install_command()}"
    elif packages and isinstance(error, Exception):
        message = f"cannot import {packages[-1]}: {first_line(error)}; to mend that: {install_command(packages[-1])}"
    else:
        return sys.__excepthook__(kind, error, trace)
    print(f"error: {message}", file=sys.__stderr__)
    sys.exit(2)


sys.excepthook = explain

if __name__ == "__main__":  # as one of the processes that `launch` starts
    add_up(sys.argv[1])
