"""Trains for some steps, and writes down the loss of each and the samples of the first pass.

`python observe.py FOLDER STEPS OPTIONS...`, in a project: the process of each rank writes
FOLDER/RANK.json with the losses, means over all processes, the samples that it met, and the number
of all samples.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from main import main
from my_project.engine.loader import Loader
from my_project.engine.logger import Logger
from my_project.engine.runtime import start
from my_project.engine.scalars import stack
from my_project.utils import parse_arguments

folder, steps = Path(sys.argv[1]), int(sys.argv[2])
losses: list[float] = []
first_pass: dict[str, Any] = {}
log_step, get_order = Logger.log_step, Loader.get_order


def observed_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
    """Keep the loss of a step; after the last one, write the file and end the process."""
    log_step(logger, state, **scalars)
    processes = logger.runtime.processes
    sums = processes.sum(stack([scalars["loss"]], logger.runtime.device))
    total, weight = sums[0].tolist()
    losses.append(total / weight)
    if len(losses) == steps:
        path = folder / f"{processes.rank}.json"
        path.write_text(json.dumps({"losses": losses, **first_pass}))
        processes.close()
        sys.exit(0)


def observed_order(loader: Loader, pass_number: int) -> torch.Tensor:
    """Keep the samples that this process meets in the first pass."""
    order = get_order(loader, pass_number)
    if loader.split == "train" and pass_number == 0:
        batches = [loader.take_batch(order, step) for step in range(loader.batches_per_pass)]
        first_pass["samples"] = torch.cat(batches).tolist()
        first_pass["of"] = len(loader.dataset)
    return order


Logger.log_step = observed_log_step
Loader.get_order = observed_order
args = parse_arguments(sys.argv[3:])
with start(args) as runtime:
    main(args, runtime)
