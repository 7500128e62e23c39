"""A run of MLflow: in a database beside the run directories, or where MLFLOW_TRACKING_URI says."""

import contextlib
import logging
import os
import re
import time
from pathlib import Path
from typing import Any


class Tracker:
    """Writes to MLflow's database, or sends to its server; a resumed run continues."""

    variables = "MLFLOW_"  # how the names of its environment variables begin
    resumes = True

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id
        self.names: dict[str, str] = {}  # of metrics, as MLflow accepts them

    def start(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import entities

        for package in ("mlflow", "alembic"):
            logging.getLogger(package).setLevel(logging.ERROR)
        self.metric = entities.Metric
        experiment = self.open_experiment()
        runs = self.client.search_runs([experiment], f"tags.tracker_id = '{self.run_id}'")
        if runs:
            self.run = runs[0].info.run_id
            self.client.update_run(self.run, "RUNNING")
            self.log_changes(runs[0].data.params)
        else:
            self.run = self.create_run(experiment)

    def open_experiment(self) -> str:
        """Connect to the database or server, and return the id of the project's experiment."""
        from filelock import FileLock
        from mlflow import MlflowClient

        home = self.run_dir.resolve().parent
        database = str(home / "mlflow.db").replace("%", "%25").replace("?", "%3F")
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        files = (home / "mlflow").as_uri() if uri.startswith("sqlite:") else None
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "{{ cookiecutter.project_slug }}")
        with FileLock(home / ".mlflow.lock"):  # runs that start together must not both create it
            self.client = MlflowClient(uri)
            if Path(database).parent != home:  # MLflow also makes the folder with the quoted name
                with contextlib.suppress(OSError):
                    Path(database).parent.rmdir()
            found = self.client.get_experiment_by_name(name)
            if found:
                return found.experiment_id
            return self.client.create_experiment(name, files)

    def log_changes(self, params: dict[str, str]) -> None:
        """Set a tag for each option that a resume has changed: parameters are final in MLflow."""
        for name, value in self.options.items():
            if params.get(name) != str(value):
                self.client.set_tag(self.run, f"option.{name}", str(value))

    def create_run(self, experiment: str) -> str:
        """Create the run, with its parameters, source, user and git commit; return its id."""
        from mlflow import entities
        from mlflow.tracking.context.registry import resolve_tags

        tags = resolve_tags({"tracker_id": self.run_id})
        run = self.client.create_run(experiment, None, tags, self.run_dir.name).info.run_id
        params = []
        for name, value in self.options.items():
            params.append(entities.Param(name, str(value)))
        self.client.log_batch(run, params=params)
        return run

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = []
        for name, value in values.items():
            metrics.append(self.metric(self.fit(name), value, now, step))
        self.client.log_batch(self.run, metrics)

    def fit(self, name: str) -> str:
        """Return a name that MLflow accepts; two names never become one."""
        if name not in self.names:
            fitting = re.sub(r"[^\w\-. :/]", "_", name)
            while fitting in self.names.values():
                fitting += "_"
            self.names[name] = fitting
        return self.names[name]

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.client.log_image(self.run, image, key=name, step=step)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Add to the run's artifacts; its metrics were logged as scalars."""
        for path in files:
            self.client.log_artifact(self.run, str(path))

    def finish(self) -> None:
        self.client.set_terminated(self.run)
