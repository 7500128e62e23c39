"""A run of Trackio: in a database beside the run directories, or in the Space TRACKIO_SPACE_ID."""

import os
from pathlib import Path
from typing import Any


class Tracker:
    """Writes to Trackio's database, or sends to its Space or server; a resumed run continues."""

    variables = "TRACKIO_"  # how the names of its environment variables begin
    resumes = True

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id

    def start(self) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(self.run_dir.resolve().parent / "trackio"))
        import trackio

        for module in (trackio, trackio.run, trackio.utils):
            vars(module)["print"] = lambda *_, **__: None  # it has no setting to be quiet
        self.artifact = trackio.Artifact
        self.image = trackio.Image
        self.run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "{{ cookiecutter.project_slug }}"),
            name=f"{self.run_dir.name}-{self.run_id[:6]}",
            config=self.options,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.run.log({name: self.image(image)}, step=step)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Add to the run's artifacts; its metrics were logged as scalars."""
        artifact = self.artifact(self.run.name, type="run")
        for path in files:
            artifact.add_file(path)
        self.run.log_artifact(artifact)

    def finish(self) -> None:
        self.run.finish()
