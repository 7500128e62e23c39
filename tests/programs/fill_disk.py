"""Runs main.py on a disk that is full when the first record is written."""

import runpy
from typing import Any

from my_project.engine.logger import Logger

log_start = Logger.log_start


def filling_log_start(logger: Logger, *arguments: Any) -> None:
    log_start(logger, *arguments)
    path = logger.run_dir / "metrics.jsonl"
    path.unlink()
    path.symlink_to("/dev/full")


Logger.log_start = filling_log_start
runpy.run_path("main.py", run_name="__main__")
