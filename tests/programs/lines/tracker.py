"""Lines of text in the run directory."""

from pathlib import Path
from typing import Any


class Tracker:
    """Writes one line for each call into lines.txt."""

    variables = "LINES_"
    resumes = True

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id

    def start(self) -> None:
        self.file = (self.run_dir / "lines.txt").open("a", encoding="utf-8")
        print("start", self.run_id, self.options["model"], file=self.file)

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        print("scalars", step, *sorted(values), file=self.file)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        print("figure", step, name, *image.shape, file=self.file)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        names = sorted(path.name for path in files)
        print("summary", step, *sorted(metrics), *names, file=self.file)

    def finish(self) -> None:
        self.file.close()
