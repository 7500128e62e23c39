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
log_step, batch_indices = Logger.log_step, Loader.batch_indices


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


def observed_batch_indices(loader: Loader, pass_number: int) -> list[torch.Tensor]:
    """Keep the samples that this process meets in the first pass."""
    indices = batch_indices(loader, pass_number)
    if loader.split == "train" and pass_number == 0:
        first_pass["samples"] = torch.cat(indices).tolist()
        first_pass["of"] = len(loader.dataset)
    return indices


Logger.log_step = observed_log_step
Loader.batch_indices = observed_batch_indices
args = parse_arguments(sys.argv[3:])
with start(args) as runtime:
    main(args, runtime)
