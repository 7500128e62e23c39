"""The project's package: utils, models, datasets and plots are edited, engine rarely."""

from .engine.environment import check_packages

check_packages()
