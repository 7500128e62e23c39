"""Stops a run after each of its steps, and resumes it: stop_everywhere.py FOLDER EVERY OPTIONS...

A stop signal arrives at step EVERY, 2 * EVERY and so on, each time in a run of its own, which is
then resumed in this process. Prints JSON: how many were stopped, and the steps after which a
resumed run has not ended with the weights, averages and records of one that nothing has stopped.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from main import main
from my_project.engine.errors import Stopped
from my_project.engine.logger import Logger
from my_project.engine.runtime import start
from my_project.utils import parse_arguments

folder, every, options = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
log_step, stop_at = Logger.log_step, 0


def stopping_log_step(logger: Logger, state: Any, **scalars: Any) -> None:
    log_step(logger, state, **scalars)
    if state.step == stop_at:
        logger.runtime.receive_signal(15, None)


def run(run_dir: Path, *more: str) -> bool:
    """Run main.py; return whether the signal has stopped it."""
    args = parse_arguments([*options, "--run-dir", str(run_dir), *more])
    try:
        with start(args) as runtime:
            main(args, runtime)
    except Stopped:
        return True
    return False


def read(run_dir: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a run's last checkpoint, and its records without the machine's speed."""
    records = []
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        records.append({**json.loads(line), "samples_per_second": 0, "seconds": 0})
    return torch.load(run_dir / "checkpoints" / "last.pt", weights_only=True), records


def is_same(one: Path, other: Path) -> bool:
    """Return whether two runs have ended alike, bit for bit."""
    (saved, records), (others, other_records) = read(one), read(other)
    if records != other_records or saved["step"] != others["step"]:
        return False
    for part in ("model", "ema_model"):
        for name, tensor in saved[part].items():
            if not torch.equal(tensor, others[part][name]):
                return False
    return True


Logger.log_step = stopping_log_step
whole, parts = folder / "whole", folder / "parts"
run(whole)
steps = read(whole)[0]["step"]
stopped, wrong = 0, []
for step in range(every, steps + 1, every):
    stop_at = step
    stopped += run(parts)
    stop_at = 0
    run(parts, "--resume")
    if not is_same(whole, parts):
        wrong.append(step)
    shutil.rmtree(parts)
print(json.dumps({"stopped": stopped, "wrong": wrong}))
