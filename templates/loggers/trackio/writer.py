"""Writes the run for Trackio: in a database beside the run folders, or in the Space that TRACKIO_SPACE_ID names."""

import os
from pathlib import Path
from typing import Any


class Writer:
    """Writes to Trackio's database, or sends to its Space or server; a resumed run goes on with its own."""

    appends = True  # to what it has written before

    def __init__(self, folder: Path, options: dict[str, Any], run_id: str):
        os.environ.setdefault("TRACKIO_DIR", str(folder.resolve().parent / "trackio"))
        import trackio

        for module in (trackio, trackio.run, trackio.utils):
            vars(module)["print"] = lambda *_, **__: None  # it has no setting to be quiet
        self.image = trackio.Image
        self.run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "{{ cookiecutter.project_slug }}"),
            name=f"{folder.name}-{run_id[:6]}",
            config=options,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def picture(self, step: int, name: str, image: Any) -> None:
        self.run.log({name: self.image(image)}, step=step)

    def finish(self) -> None:
        self.run.finish()
