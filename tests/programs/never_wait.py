"""Runs main.py on a GPU, and fails if a step makes the host wait for the GPU.

Reading the scalars when a record is due may wait.
"""

import runpy
from typing import Any

import torch
from my_project.engine.logger import Logger

log_step, reduce = Logger.log_step, Logger.reduce


def watched_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
    log_step(logger, state, **scalars)
    torch.cuda.set_sync_debug_mode("error")  # until the scalars are read


def watched_reduce(logger: Logger) -> None:
    torch.cuda.set_sync_debug_mode("default")
    reduce(logger)


Logger.log_step = watched_log_step
Logger.reduce = watched_reduce
runpy.run_path("main.py", run_name="__main__")
