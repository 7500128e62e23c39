# {% if cookiecutter.distributed == "none" %}
"""Check of this machine for --doctor: packages, devices, precisions and disk, each by trying it."""
# {% else %}
"""Check of this machine for --doctor: packages, devices, precisions, process groups and disk.

Each is tried. torchrun starts this module for the process groups.
"""
# {% endif %}

import argparse
import os
import platform
import re
import shutil
# {% if cookiecutter.distributed != "none" %}
import subprocess
import sys
# {% endif %}
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
# {% if cookiecutter.distributed != "none" %}
import torch.distributed as dist
# {% endif %}

# {% if cookiecutter.distributed == "none" %}
from .environment import first_line, required_packages, usable_cores
# {% else %}
from .environment import PROJECT, first_line, required_packages, usable_cores
# {% endif %}
from .errors import UserError
from .gpus import explain_unused_gpu
from .runtime import find_precision

Finding = tuple[str, bool]  # what was found, and whether all is well


class Doctor(argparse.Action):
    """An option that checks this machine and exits, with code 2 if something is wrong."""

    def __init__(self, option_strings: list[str], dest: str, **keywords: Any):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        errors = ""
        for subject, (finding, is_well) in examine():
            print(f"{subject:<16} {finding}", flush=True)
            if not is_well:
                errors += f"error: {subject}: {finding}\n"
        parser.exit(2 if errors else 0, errors)


def examine() -> Iterator[tuple[str, Finding]]:
    """Yield each subject with its finding."""
    yield "python", (f"{platform.python_version()} on {platform.platform()}", True)
    for name in required_packages():
        yield name, attempt(version, name)
    yield "torch's build", (f"{torch.__version__}, for {describe_build()}", True)
    devices = [torch.device("cpu")]
    for index in range(torch.cuda.device_count()):
        devices.append(torch.device("cuda", index))
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    for device in devices:
        yield str(device), attempt(describe, device)
        for precision in ("fp32", "bf16", "fp16"):
            yield f"{device}, {precision}", attempt(train_one_step, device, precision)
    reason = explain_unused_gpu()
    if reason:
        yield "NVIDIA GPU", (reason, False)
    elif len(devices) == 1:
        yield "cuda", (attempt(torch.cuda.init)[0], True)  # says why there is none
    # {% if cookiecutter.distributed != "none" %}
    yield "gloo, torchrun", attempt(launch, "gloo", 2)
    if torch.cuda.is_available():
        yield "nccl, torchrun", attempt(launch, "nccl", torch.cuda.device_count())
    else:
        yield "nccl, torchrun", ("no GPU", True)
    # {% endif %}
    yield "/dev/shm", attempt(describe_shared_memory)
    yield "open files", attempt(describe_open_files)
    yield "C++ compiler", attempt(describe_compiler)
    yield "runs/", attempt(write_to_disk)


def attempt(function: Callable[..., str | None], *args: Any) -> Finding:
    """Return what `function` finds, or why it fails."""
    try:
        return function(*args) or "works", True
    except UserError as error:  # a combination that no machine has, such as fp16 on a CPU
        return f"not used: {error}", True
    except Exception as error:
        return first_line(error), False


def describe_build() -> str:
    """Return what this build of torch was made for."""
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if torch.version.hip else "CPU"


def describe(device: torch.device) -> str:
    """Return a device's name and free memory."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] / 2**30
        return f"{torch.cuda.get_device_name(device)}, {free:.1f} GiB free"
    text = f"{platform.machine()}, {usable_cores()} cores"
    memory = Path("/proc/meminfo")
    if memory.exists():  # on Linux
        match = re.search(r"MemAvailable:\s*(\d+)", memory.read_text())
        if match:
            text += f", {int(match[1]) / 2**20:.1f} GiB free"
    return text


def train_one_step(device: torch.device, precision: str) -> None:
    """Compute a gradient in a precision, as training does, and compare it with the right one."""
    dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = dtypes[find_precision(precision, device)]
    weight = torch.ones(64, 64, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        product = weight @ weight
    (gradient,) = torch.autograd.grad(product.sum(), weight)
    if not (gradient == 128).all():
        raise ArithmeticError("the gradient is wrong")


# {% if cookiecutter.distributed != "none" %}
def launch(backend: str, processes: int) -> str:
    """Let torchrun start processes that `add_up`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", __name__, backend]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    if result.returncode:
        errors = re.findall(r"\w*(?:Error|Exception): .*", result.stderr)
        raise RuntimeError(errors[0] if errors else "torchrun failed")
    return f"{processes} processes work"


def add_up(backend: str) -> None:
    """Join the process group and sum a tensor over its processes."""
    device = torch.device("cpu")
    if backend == "nccl":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, device_id=device if backend == "nccl" else None)
    total = torch.ones(1000, device=device)
    dist.all_reduce(total)
    if not (total == dist.get_world_size()).all():
        raise ArithmeticError("the sum over processes is wrong")
    dist.destroy_process_group()


# {% endif %}
def describe_shared_memory() -> str:
    """Return the free shared memory, through which DataLoader workers send batches on Linux."""
    folder = Path("/dev/shm")
    if not folder.exists():
        return "not on this system"
    return f"{shutil.disk_usage(folder).free / 2**30:.2f} GiB free"


def describe_open_files() -> str:
    """Return how many files may be open at once."""
    try:
        import resource
    except ImportError:  # on Windows
        return "not limited on this system"
    return f"at most {resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"


def describe_compiler() -> str:
    """Return the compiler that --compile uses on a CPU."""
    for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"):
        path = shutil.which(name) if name else None
        if path:
            return path
    return "none, --compile needs one"


def write_to_disk() -> str:
    """Write to the disk of runs/, lock a file there, and return the free space."""
    from filelock import FileLock

    folder = Path("runs")
    if not folder.exists():
        folder = Path()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        Path(temporary, "file").write_bytes(bytes(2**20))
        locks = "with locks"
        try:
            with FileLock(Path(temporary, "lock"), timeout=0):
                pass
        except (NotImplementedError, OSError):
            locks = "without locks: start no two runs in one directory"
    return f"writable, {locks}, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
# {% if cookiecutter.distributed != "none" %}


if __name__ == "__main__":  # one of the processes that `launch` starts
    add_up(sys.argv[1])
# {% endif %}
