"""An experiment of Comet: offline, unless the environment has a COMET_API_KEY."""

import os
import shutil
from pathlib import Path
from typing import Any


class Tracker:
    """Writes an archive into the run directory; one that is resumed offline is written anew."""

    variables = "COMET_"  # how the names of its environment variables begin

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id
        self.resumes = "COMET_API_KEY" in os.environ

    def start(self) -> None:
        os.environ.setdefault("COMET_LOGGING_CONSOLE", "CRITICAL")
        os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"
        import comet_ml

        home = self.run_dir / "tracker"
        if not self.resumes:
            shutil.rmtree(home, ignore_errors=True)
        off: Any = False  # its type says str
        self.run = comet_ml.start(
            project=os.environ.get("COMET_PROJECT_NAME", "{{ cookiecutter.project_slug }}"),
            experiment_key=self.run_id,
            mode="get_or_create" if self.resumes else "create",
            online=self.resumes,
            experiment_config=comet_ml.ExperimentConfig(
                name=self.run_dir.name,
                offline_directory=str(home),
                display_summary_level=0,
                auto_output_logging=off,
                parse_args=False,
                log_code=False,
                log_graph=False,
                log_env_details=False,
                log_git_patch=False,
            ),
        )
        self.run.log_parameters(self.options)

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log_metrics(values, step=step)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.run.log_image(image, name=name, step=step)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Add to Assets & Artifacts; the metrics were logged as scalars."""
        for path in files:
            self.run.log_asset(str(path), file_name=path.name, overwrite=True)

    def finish(self) -> None:
        self.run.end()
