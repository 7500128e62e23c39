"""A run of Weights & Biases: offline, unless the environment has WANDB_MODE=online."""

import os
import shutil
from pathlib import Path
from typing import Any


class Tracker:
    """Writes a run of W&B into the run directory; one that is resumed offline is written anew."""

    variables = "WANDB_"  # how the names of its environment variables begin

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id
        self.mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.resumes = self.mode == "online"

    def start(self) -> None:
        import wandb

        home = self.run_dir / "tracker"
        if not self.resumes:
            shutil.rmtree(home, ignore_errors=True)
        (home / "wandb").mkdir(parents=True, exist_ok=True)  # or wandb takes another directory
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            os.environ.setdefault(name, str(home.resolve()))
        self.image = wandb.Image
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "{{ cookiecutter.project_slug }}"),
            name=self.run_dir.name,
            id=self.run_id,
            dir=home,
            mode=self.mode,
            resume="allow" if self.resumes else None,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                x_disable_stats=True,
            ),
        )
        self.run.config.update(self.options, allow_val_change=True)
        self.run.define_metric("*", step_metric="step")  # wandb's own step counts calls of log

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log({"step": step, **values})

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.run.log({"step": step, name: self.image(image)})

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Set the run's summary, the columns of the table of runs, and add to its files."""
        self.run.summary.update(metrics)
        for path in files:
            copy = shutil.copy(path, self.run.dir)
            self.run.save(copy, base_path=self.run.dir, policy="now")

    def finish(self) -> None:
        self.run.finish()
