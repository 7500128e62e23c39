"""main.py that waits at a moment of the run: pausing.py MOMENT FOLDER OPTIONS...

MOMENT is `import`, `first` (step 1), `epoch` (step 20), `validation` or `save`. There the process
makes a file FOLDER/RANK and waits until FOLDER/go exists; meanwhile, a test sends it a signal.
"""

import importlib.abc
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

moment, folder = sys.argv[1], Path(sys.argv[2])
sys.argv[1:] = sys.argv[3:]
mark = folder / os.environ.get("RANK", "0")


def pause() -> None:
    """Wait, once."""
    if mark.exists():
        return
    mark.touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


class Finder(importlib.abc.MetaPathFinder):
    """Waits while torch is being imported."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "torch.nn":
            pause()


def pause_at_step(step: int) -> None:
    from my_project.engine.logger import Logger

    log_step = Logger.log_step

    def pausing_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
        log_step(logger, state, **scalars)
        if state.step == step:
            pause()

    Logger.log_step = pausing_log_step


def pause_before_validation() -> None:
    import my_project.utils as utils

    evaluate = utils.evaluate

    def pausing_evaluate(*arguments: Any) -> Any:
        pause()
        return evaluate(*arguments)

    utils.evaluate = pausing_evaluate


def pause_in_save() -> None:
    """Wait in the middle of writing the first checkpoint, on rank 0; the others need not."""
    import torch

    save = torch.save

    def pausing_save(saved: Any, path: Any, **settings: Any) -> None:
        save(saved, path, **settings)
        if not isinstance(path, Path):  # a message to other processes
            return
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[: len(whole) // 2])
        pause()
        Path(path).write_bytes(whole)

    torch.save = pausing_save
    if os.environ.get("RANK", "0") != "0":
        mark.touch()


if moment == "import":
    sys.meta_path.insert(0, Finder())
elif moment == "validation":
    pause_before_validation()
elif moment == "save":
    pause_in_save()
else:
    pause_at_step({"first": 1, "epoch": 20}[moment])
runpy.run_path("main.py", run_name="__main__")
