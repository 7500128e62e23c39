"""Trials in threads, one of which diverges: sweep.py FOLDER OPTIONS..."""

import sys
from concurrent.futures import ThreadPoolExecutor

from main import main
from my_project.engine.errors import UserError
from my_project.engine.runtime import start
from my_project.utils import parse_arguments

folder, *options = sys.argv[1:]


def try_rate(rate: str) -> None:
    args = parse_arguments([*options, "--lr", rate, "--run-dir", f"{folder}/{rate}"])
    with start(args) as runtime:
        main(args, runtime)


with ThreadPoolExecutor(1) as pool:
    trials = {rate: pool.submit(try_rate, rate) for rate in ("0.01", "1e30", "0.02")}
for rate, trial in trials.items():
    error = trial.exception()
    assert isinstance(error, UserError) if rate == "1e30" else error is None, error
