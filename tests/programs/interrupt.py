"""Runs main.py, and interrupts it at the end of a step.

`python interrupt.py HOW STEP RANK OPTIONS...`, in a project: the process with that rank, 0 if there
is one process, gets a signal (HOW is SIGKILL or SIGTERM), raises a ValueError (HOW is error) or a
UserError (HOW is mistake).
"""

import os
import runpy
import signal
import sys
from typing import Any

from my_project.engine.errors import UserError
from my_project.engine.logger import Logger

how, step, rank = sys.argv[1], int(sys.argv[2]), sys.argv[3]
log_step = Logger.log_step


def interrupted_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
    log_step(logger, state, **scalars)
    if state.step == step and os.environ.get("RANK", "0") == rank:
        if how == "error":
            raise ValueError("a mistake of one's own")
        if how == "mistake":
            raise UserError("a file that only this rank reads")
        os.kill(os.getpid(), getattr(signal, how))


Logger.log_step = interrupted_log_step
sys.argv[1:] = sys.argv[4:]
runpy.run_path("main.py", run_name="__main__")
