"""A run of SwanLab: on this machine, unless the environment has SWANLAB_MODE=online."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


class Tracker:
    """Writes files beside the run directories; a run that is resumed offline is written anew."""

    variables = "SWANLAB_"  # how the names of its environment variables begin

    def __init__(self, run_dir: Path, options: dict[str, Any], run_id: str):
        self.run_dir = run_dir
        self.options = options
        self.run_id = run_id
        self.home = run_dir.resolve().parent / "swanlab"
        self.mode: Any = os.environ.get("SWANLAB_MODE", "local")
        self.resumes = self.mode == "online"

    def start(self) -> None:
        import swanlab
        from swanlab.sdk.internal.pkg import console

        console.c.quiet = True
        if not self.resumes:
            self.remove_run()
        self.image = swanlab.Image
        config = {}
        for name, value in self.options.items():
            config[name] = "None" if value is None else value  # it shows None as [object Object]
        self.run = swanlab.init(
            project=os.environ.get("SWANLAB_PROJ_NAME", "{{ cookiecutter.project_slug }}"),
            name=self.run_dir.name,
            id=self.run_id,
            resume="allow",
            mode=self.mode,
            log_dir=str(self.home),
            config=config,
            settings=swanlab.Settings(
                terminal={"proxy_type": "none"},
                probe={"hardware": False, "requirements": False, "monitor": False},
            ),
        )

    def remove_run(self) -> None:
        """Remove what an earlier start of this run has written."""
        for folder in self.home.glob(f"run-*-{self.run_id}"):
            shutil.rmtree(folder)
            self.execute(
                f"delete from experiment where run_id = '{folder.name}'",
                # SwanLab does not create a chart or section anew while one without a run exists.
                "delete from chart where id not in (select chart_id from source)",
                "delete from namespace where id not in (select namespace_id from display)",
            )

    def execute(self, *commands: str) -> None:
        """Execute SQL commands on the database that `swanlab watch` reads."""
        with closing(sqlite3.connect(self.home / "runs.swanlab")) as database, database:
            database.execute("pragma foreign_keys = on")
            for command in commands:
                database.execute(command)

    def log_scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def log_figure(self, step: int, name: str, image: Any) -> None:
        self.run.log({name: self.image(image)}, step=step)

    def log_summary(self, step: int, metrics: dict[str, float], files: list[Path]) -> None:
        """Add to the run's files; its metrics were logged as scalars."""
        for path in files:
            self.run.save(str(path), base_path=self.run_dir, policy="now")

    def finish(self) -> None:
        self.run.finish()
        if not self.resumes:
            # SwanLab 0.10 numbers metrics from 0 and their folders from 1: its Tables would show
            # each value under the name of the next metric.
            self.execute("update tag set sort = cast(folder as integer)")
