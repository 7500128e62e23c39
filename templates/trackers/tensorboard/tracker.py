"""Event files for TensorBoard, in the run directory: `tensorboard --logdir runs` shows them."""

import textwrap
from pathlib import Path
from typing import Any


class Tracker:
    """Writes TensorBoard's event files; a resumed run continues its curves in another file."""

    variables = "TENSORBOARD_"  # how the names of its environment variables begin
    resumes = True

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id

    def start(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(self.run_dir)
        self.write_options()

    def write_options(self) -> None:
        """Write the options for the HPARAMS tab, which adds the last value of each scalar."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from torch.utils.tensorboard import SummaryWriter

        values = {}
        for name, value in self.options.items():
            values[name] = value if isinstance(value, bool | int | float) else str(value)
        # A file of its own: TensorBoard keeps the first options it reads, a resume may change some.
        for path in self.run_dir.glob("*.tfevents.*.hparams"):
            path.unlink()
        writer: Any = SummaryWriter(self.run_dir, filename_suffix=".hparams")
        writer.file_writer.add_summary(hparams_pb(values, trial_id=self.run_dir.name))
        writer.close()

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.writer.add_image(name, image, step, dataformats="HWC")
        self.writer.flush()

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Show texts, as summary.md, in the TEXT tab; the HPARAMS tab finds the metrics itself."""
        for path in files:
            if path.suffix in (".md", ".txt"):
                text = path.read_text(encoding="utf-8")
                if path.suffix == ".txt":
                    text = textwrap.indent(text, "    ")  # a block of code in Markdown
                self.writer.add_text(path.stem, text, step)
        self.writer.flush()

    def finish(self) -> None:
        self.writer.close()
