"""BackgroundTracker with a tracker that prints its calls: feed_tracker.py RUN_DIR RESUMES RECORDS.

RESUMES is `resumes` or nothing, RECORDS a JSON list of records; each is followed by its step's
figure.png of the run directory.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, os.getcwd())
from my_project.engine import background


class PrintingTracker:
    variables = "PRINTING_"

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.resumes = sys.argv[2] == "resumes"
        self.run_id = run_id
        self.options = options

    def start(self) -> None:
        self.show("start", self.run_id, self.options)

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        self.show("scalars", step, values)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.show("figure", step, name, image.shape, str(image.dtype), image.min().item())

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        self.show("summary", step, metrics, [path.name for path in files])

    def finish(self) -> None:
        self.show("finish")

    def show(self, *call: Any) -> None:
        print(json.dumps(call))


background.Tracker = PrintingTracker
run_dir = Path(sys.argv[1])
files = sorted(run_dir.iterdir())
tracker = background.BackgroundTracker(run_dir, {"data_dir": Path("data"), "sizes": [1, 2]})
assert sorted(run_dir.iterdir()) == files
tracker.start()
for record in json.loads(sys.argv[3]):
    tracker.log(record)
    tracker.log_figure(record["step"], "figure", run_dir / "figure.png")
tracker.log_summary({"test/loss": 1.0, "best/val/loss": 2.0, "nan": float("nan")}, [run_dir])
tracker.finish()
