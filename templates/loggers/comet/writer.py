"""Writes the run for Comet: offline, until the environment has a COMET_API_KEY."""

import os
import shutil
from pathlib import Path
from typing import Any


class Writer:
    """Writes an archive for Comet into the run folder; one that is resumed offline is written anew, as one whole."""

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        os.environ.setdefault("COMET_LOGGING_CONSOLE", "CRITICAL")
        os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"
        import comet_ml

        self.appends = "COMET_API_KEY" in os.environ
        if not self.appends:
            shutil.rmtree(folder / "comet", ignore_errors=True)
        unwanted = ("code", "graph", "env_details", "git_metadata", "git_patch")
        settings: dict[str, Any] = {"display_summary_level": 0, "offline_directory": str(folder / "comet")}
        settings |= {"auto_output_logging": False, "parse_args": False} | {f"log_{name}": False for name in unwanted}
        self.run = comet_ml.start(
            project=os.environ.get("COMET_PROJECT_NAME", "{{ cookiecutter.project_slug }}"),
            experiment_key=run_id,
            mode="get_or_create" if self.appends else "create",
            online=self.appends,
            experiment_config=comet_ml.ExperimentConfig(name=folder.name, **settings),
        )
        self.run.log_parameters(options)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log_metrics(values, step=step)

    def picture(self, step: int, name: str, image: Any) -> None:
        self.run.log_image(image, name=name, step=step)

    def finish(self) -> None:
        self.run.end()
