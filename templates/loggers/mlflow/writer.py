"""Writes the run for MLflow: in a database beside the run folders, or where MLFLOW_TRACKING_URI says."""

import logging
import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock


class Writer:
    """Writes to MLflow's database, or sends to its server; a resumed run goes on with its own."""

    appends = True  # to what it has written before

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient, entities

        for package in ("mlflow", "alembic"):
            logging.getLogger(package).setLevel(logging.ERROR)
        self.metric, home = entities.Metric, folder.resolve().parent
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        files = (home / "mlflow").as_uri() if uri.startswith("sqlite:") else None
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "{{ cookiecutter.project_slug }}")
        with FileLock(home / ".mlflow.lock"):  # runs that start together must not both make it
            self.client = MlflowClient(uri)
            found = self.client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self.client.create_experiment(name, files)
        runs = self.client.search_runs([experiment], f"tags.logger_id = '{run_id}'")
        if runs:
            self.run = runs[0].info.run_id
            self.client.update_run(self.run, "RUNNING")
        else:
            self.run = self.client.create_run(experiment, None, {"logger_id": run_id}, folder.name).info.run_id
            params = [entities.Param(name, str(value)) for name, value in options.items()]
            self.client.log_batch(self.run, params=params)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        self.client.log_batch(self.run, [self.metric(name, value, now, step) for name, value in values.items()])

    def picture(self, step: int, name: str, image: Any) -> None:
        self.client.log_image(self.run, image, key=name, step=step)

    def finish(self) -> None:
        self.client.set_terminated(self.run)
