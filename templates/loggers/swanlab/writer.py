"""Writes the run for SwanLab: on this machine, until the environment says SWANLAB_MODE=online."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


class Writer:
    """Writes SwanLab's files beside the run folders; a run that is resumed without a server is written anew."""

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        import swanlab
        from swanlab.sdk.internal.pkg import console

        console.c.quiet = True
        mode: Any = os.environ.get("SWANLAB_MODE", "local")
        self.appends, home = mode == "online", folder.resolve().parent / "swanlab"
        if not self.appends:
            self.remove(home, run_id)
        settings = swanlab.Settings(
            terminal={"proxy_type": "none"},
            probe={"hardware": False, "requirements": False, "git": False, "monitor": False, "runtime": False},
        )
        self.image = swanlab.Image
        self.run = swanlab.init(
            project=os.environ.get("SWANLAB_PROJ_NAME", "{{ cookiecutter.project_slug }}"),
            name=folder.name,
            id=run_id,
            resume="allow",
            mode=mode,
            log_dir=str(home),
            config=options,
            settings=settings,
        )

    def remove(self, home: Path, run_id: str) -> None:
        for folder in home.glob(f"run-*-{run_id}"):
            shutil.rmtree(folder)
            with closing(sqlite3.connect(home / "runs.swanlab")) as database, database:
                database.execute("pragma foreign_keys = on")
                database.execute("delete from experiment where run_id = ?", [folder.name])
                # charts and sections that no run is shown in any more keep SwanLab from making them anew
                database.execute("delete from chart where id not in (select chart_id from source)")
                database.execute("delete from namespace where id not in (select namespace_id from display)")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def picture(self, step: int, name: str, image: Any) -> None:
        self.run.log({name: self.image(image)}, step=step)

    def finish(self) -> None:
        self.run.finish()
