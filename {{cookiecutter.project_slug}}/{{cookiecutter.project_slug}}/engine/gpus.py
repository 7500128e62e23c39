"""NVIDIA GPUs that this installation of PyTorch cannot use: why, and the ways out."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import torch

from .environment import first_line, pytorch_index, pytorch_packages

DEVICE = Path("/dev/nvidia0")  # on Linux, if there is a GPU and its driver is loaded
FIELDS = ("name,driver_version,compute_cap", "name,driver_version")  # old drivers lack the last


class Gpu(NamedTuple):
    """A GPU as nvidia-smi tells of it; what is 0 is unknown."""

    name: str = "the NVIDIA GPU"
    driver: int = 0  # the first number of the driver's version
    capability: int = 0  # ten times the compute capability: 75 for 7.5


class Build(NamedTuple):
    """A build of PyTorch for a version of CUDA: where it is, and what it needs.

    Drivers: https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    GPUs: https://github.com/pytorch/pytorch/blob/main/RELEASE.md, for PyTorch 2.14
    """

    cuda: str
    url: str
    driver: int
    capabilities: range


BUILDS = (
    Build("13", "{{ cookiecutter._torch_index.cuda }}", 580, range(75, 130)),
    Build("12", "{{ cookiecutter._torch_index.cuda12 }}", 525, range(50, 100)),
)


def explain_unused_gpu() -> str:
    """Return in one line why an NVIDIA GPU cannot be used and what to do; nothing if all is well.

    Where there is none, this takes no time: nvidia-smi is started only if it is installed.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or pytorch_index().endswith("/cpu"):
        return ""  # as its user wants it
    gpu = find_unsupported() if torch.cuda.is_available() else find_gpu()
    if gpu is None:
        return ""
    reason = get_reason(gpu)
    return f"{gpu.name} cannot be used: {reason}. Try {', or '.join(list_ways(gpu))}"


def find_unsupported() -> Gpu | None:
    """Return the first of CUDA's GPUs that this build of torch has no code for."""
    architectures = torch.cuda.get_arch_list()  # e.g. sm_90; empty if torch is not built for CUDA
    if torch.version.cuda is None or not architectures:
        return None
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        capability = 10 * major + minor
        if not any(runs_on(capability, architecture) for architecture in architectures):
            gpu = find_gpu() or Gpu()
            return Gpu(torch.cuda.get_device_name(index), gpu.driver, capability)
    return None


def runs_on(capability: int, architecture: str) -> bool:
    """Return whether code for an architecture runs on GPUs of a compute capability.

    Machine code (sm_86) runs on its generation from this number on, PTX (compute_86) also later.
    """
    number = int(re.sub(r"\D", "", architecture))
    same_generation = number // 10 == capability // 10
    return number <= capability and (same_generation or architecture.startswith("compute_"))


def find_gpu() -> Gpu | None:
    """Return the first NVIDIA GPU of this machine, or None."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return Gpu() if DEVICE.exists() else None
    for fields in FIELDS:
        command = [path, f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            break
        match = re.match(r"([^,]+), (\d+)[\d.]*(?:, (\d+)\.(\d))?$", result.stdout, re.MULTILINE)
        if match and result.returncode == 0:
            return Gpu(match[1], int(match[2]), int((match[3] or "") + (match[4] or "0")))
        if "No devices" in result.stdout + result.stderr:  # e.g. a SLURM job that asked for none
            return None
    return Gpu() if DEVICE.exists() else None


def get_reason(gpu: Gpu) -> str:
    """Return why torch cannot use the GPU."""
    if torch.cuda.is_available():
        capability = "{}.{}".format(*divmod(gpu.capability, 10))
        return f"torch {torch.__version__} has no code for its compute capability {capability}"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is not built for CUDA"
    for build in BUILDS:
        if is_installed(build) and 0 < gpu.driver < build.driver:
            return f"driver {gpu.driver} is too old for CUDA {torch.version.cuda}"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return first_line(error).partition(". ")[0].rstrip(".")
    return "torch sees none"


def list_ways(gpu: Gpu) -> list[str]:
    """Return what can be done: a newer driver, another build of torch, and always the CPU."""
    ways = []
    for build in BUILDS:
        if gpu.capability and gpu.capability not in build.capabilities:
            continue
        steps = []
        if gpu.driver < build.driver:
            steps.append(f"driver {build.driver} or newer")
        if not is_installed(build):
            packages = " ".join(pytorch_packages())
            steps.append(f"pip install --force-reinstall {packages} --index-url {build.url}")
        if not steps:  # neither driver nor torch is the reason
            return ["--device cpu"]
        ways.append(" with ".join(steps))
    return [*ways, "--device cpu"]


def is_installed(build: Build) -> bool:
    """Return whether torch is built for this version of CUDA."""
    return str(torch.version.cuda).startswith(f"{build.cuda}.")
