"""Writes the run for Weights & Biases: offline, until the environment says WANDB_MODE=online."""

import os
import shutil
from pathlib import Path
from typing import Any


class Writer:
    """Writes a run of wandb into the run folder; one that is resumed offline is written anew, as one whole."""

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.appends = mode == "online"
        if not self.appends:
            shutil.rmtree(folder / "wandb", ignore_errors=True)
        for name in ("CACHE", "DATA"):
            os.environ.setdefault(f"WANDB_{name}_DIR", str(folder.resolve() / "wandb"))
        (folder / "wandb").mkdir(exist_ok=True)  # else wandb takes another place
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        )
        project = os.environ.get("WANDB_PROJECT", "{{ cookiecutter.project_slug }}")
        resume: Any = "allow" if self.appends else None
        self.image = wandb.Image
        self.run = wandb.init(
            project=project, name=folder.name, id=run_id, dir=folder, mode=mode, resume=resume, settings=settings
        )
        self.run.config.update(options, allow_val_change=True)
        self.run.define_metric("*", step_metric="step")  # wandb's own step counts records

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log({"step": step, **values})

    def picture(self, step: int, name: str, image: Any) -> None:
        self.run.log({"step": step, name: self.image(image)})

    def finish(self) -> None:
        self.run.finish()
