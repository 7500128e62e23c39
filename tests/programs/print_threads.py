"""Prints how many threads torch uses, as if this machine had 8 cores.

In a project: under torchrun without arguments; or with an argument "PROCESSES OMP_NUM_THREADS" for
each line.
"""

import os
import sys
from typing import Any

import torch
from my_project.engine.processes import share_cores
from my_project.engine.runtime import start
from my_project.utils import parse_arguments

os.sched_getaffinity = lambda _process: range(8)


def print_threads_of_a_run() -> None:
    args: Any = parse_arguments(["--device", "cpu"])
    with start(args) as runtime:
        if runtime.processes.rank == 0:
            print(torch.get_num_threads())


if not sys.argv[1:]:
    print_threads_of_a_run()
for case in sys.argv[1:]:
    processes, os.environ["OMP_NUM_THREADS"] = case.split()
    torch.set_num_threads(5)
    share_cores(int(processes))
    print(torch.get_num_threads())
