"""Shows the run in TensorBoard: `tensorboard --logdir runs`."""

import queue
import sys
import threading
from pathlib import Path
from typing import Any

from matplotlib.image import imread


class Tracker:
    """Writes TensorBoard's event files into the run folder; a resumed run replaces what it repeats."""

    def __init__(self, folder: Path, options: dict[str, Any], step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder / "tensorboard", purge_step=step + 1)
        self.writer.add_text("options", "\n".join(f"    {name}: {value}" for name, value in options.items()), step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        self.writer.add_image(name, imread(path), step, dataformats="HWC")

    def finish(self) -> None:
        self.writer.close()


# {% include "loggers/common.py" %}
