"""Runs main.py with checkpoints written in the background; after five steps, the disk is full.

FAILURES is the number of writes that fail; by default, all do.
"""

import errno
import os
import runpy
from typing import Any

import torch
from my_project.engine import checkpoint_writer

save = torch.save
failures = int(os.environ.get("FAILURES", "1000"))


def failing_save(saved: Any, *arguments: Any, **keywords: Any) -> None:
    global failures
    if isinstance(saved, dict) and saved["step"] > 5 and failures:
        failures -= 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    save(saved, *arguments, **keywords)


checkpoint_writer.LARGE = 0
torch.save = failing_save
runpy.run_path("main.py", run_name="__main__")
