"""Prints how often 100 steps of some seconds each exchange stop signals, by a clock of its own.

The next 40 steps are of a second; prints how many of them go by before a signal is known.
"""

import sys
import time
from argparse import Namespace

import torch
import torch.distributed as dist
from my_project.engine.processes import Processes

now = 0.0
exchanges = 0
all_reduce = dist.all_reduce


def counted(*arguments: object, **keywords: object) -> object:
    global exchanges
    exchanges += 1
    return all_reduce(*arguments, **keywords)


time.perf_counter = lambda: now  # type: ignore[assignment]
dist.all_reduce = counted
processes = Processes(Namespace(dist_timeout=60.0, sharded_checkpoints=False))
processes.connect(torch.device("cpu"))
for _ in range(100):
    now += float(sys.argv[1])
    assert processes.agree_on_signal(0) == 0
steps = 0
agreed = 0
found = exchanges
while not agreed and steps < 40:
    now += 1.0
    agreed = processes.agree_on_signal(15)
    steps += 1
assert agreed == 15
processes.close()
print(found, steps)
