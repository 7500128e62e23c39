"""Writes the run for TensorBoard, which `tensorboard --logdir runs` shows."""

from pathlib import Path
from typing import Any


class Writer:
    """Writes TensorBoard's event files into the run folder."""

    appends = True  # to what it has written before

    def __init__(self, folder: Path, options: dict[str, Any], _run_id: str):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder / "tensorboard")
        self.writer.add_text("options", "\n".join(f"    {name}: {value}" for name, value in options.items()))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def picture(self, step: int, name: str, image: Any) -> None:
        self.writer.add_image(name, image, step, dataformats="HWC")
        self.writer.flush()

    def finish(self) -> None:
        self.writer.close()
