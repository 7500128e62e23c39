"""Prints what a run says of GPUs, a line for each case of a JSON file.

A case is the version of CUDA that torch is built for ("" for a build without it), what nvidia-smi
prints (null if it is not installed), whether there is /dev/nvidia0, and, if torch sees a GPU, its
compute capability and the architectures that torch is built for.
"""

import json
import os
import sys
from pathlib import Path

import torch
from my_project.engine import gpus

cases, tools = map(Path, sys.argv[1:])
for cuda, printed, has_device, *seen in json.loads(cases.read_text()):
    os.environ["PATH"] = "" if printed is None else str(tools)
    os.environ["NVIDIA_SMI_PRINTS"] = printed or ""
    gpus.DEVICE = cases if has_device else Path("nowhere")
    torch.version.cuda = cuda or None
    torch.__version__ = f"2.14.1+{cuda or 'cpu'}"
    torch.cuda.is_available = lambda seen=seen: bool(seen)
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_name = lambda _: "Seen"
    torch.cuda.get_device_capability = lambda _, seen=seen: tuple(seen[0])
    torch.cuda.get_arch_list = lambda seen=seen: seen[1].split()
    print(gpus.explain_unused_gpu())
