"""Runs main.py until the first checkpoint, then fails; the shards take a second to write.

Prints "locked" if the run directory is still this run's when they are written.
"""

import runpy
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from my_project.engine import sharded
from my_project.engine.checkpoint import Checkpoint

save = Checkpoint.save
complete = sharded.ShardWriter.complete


def failing_save(checkpoint: Checkpoint, *arguments: Any) -> None:
    save(checkpoint, *arguments)
    raise RuntimeError("of the user")


def slowly_complete(writer: sharded.ShardWriter, *arguments: Any) -> None:
    complete(writer, *arguments)
    time.sleep(1)
    try:
        with FileLock(Path("run/.lock"), timeout=0):
            print("free")
    except Timeout:
        print("locked")


Checkpoint.save = failing_save
sharded.ShardWriter.complete = slowly_complete
runpy.run_path("main.py", run_name="__main__")
