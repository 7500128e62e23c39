"""Where a logger would show the run: none was chosen, so everything stays in the run folder."""

from pathlib import Path
from typing import Any


class Dashboard:
    """Shows nothing; give these methods a body to send the run wherever you like."""

    def __init__(self, folder: Path, options: dict[str, Any]):
        pass

    def scalars(self, step: int, values: dict[str, float]) -> None:
        pass

    def picture(self, step: int, name: str, path: Path) -> None:
        pass

    def finish(self) -> None:
        pass
