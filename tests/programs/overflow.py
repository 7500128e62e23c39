"""Runs main.py in fp16 with a scale at which the gradients of the first steps are infinite.

These steps are skipped.
"""

import runpy
from functools import partial

import my_project.utils as utils

utils.GradScaler = partial(utils.GradScaler, init_scale=2.0**60)
runpy.run_path("main.py", run_name="__main__")
