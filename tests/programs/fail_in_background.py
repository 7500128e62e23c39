"""Runs main.py with checkpoints written in the background; after five steps, the disk is full."""

import errno
import os
import runpy
from typing import Any

import torch
from my_project.engine import checkpoint_writer

save = torch.save


def failing_save(saved: Any, *arguments: Any, **keywords: Any) -> None:
    if isinstance(saved, dict) and saved["step"] > 5:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    save(saved, *arguments, **keywords)


checkpoint_writer.LARGE = 0
torch.save = failing_save
runpy.run_path("main.py", run_name="__main__")
