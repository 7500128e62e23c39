"""Draws figures of 3 s in 120 epochs of 20 s and three sessions, by a clock that is set.

Prints the time at the end, the times at which figures were done, and the time that the logger
counted, as JSON.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import my_project.engine.logger as logging
from my_project.engine.runtime import start
from my_project.utils import parse_arguments

now = 0.0
drawn: list[float] = []
logging.time = SimpleNamespace(perf_counter=lambda: now)


def make_figures(*_: object) -> dict[str, str]:
    global now
    now += 3
    drawn.append(now)
    return {"note": "drawn"}


args = parse_arguments(["--quiet", "--device", "cpu"])
run_dir = Path("drawn")
run_dir.mkdir()
loader = SimpleNamespace(split="val")
with start(args) as runtime:
    saved = None
    for _session in range(3):
        logger = logging.Logger(args, runtime, run_dir, {"accuracy": True})
        if saved:
            logger.load_state_dict(saved)
        for _epoch in range(40):
            now += 20
            logger.log_figures(SimpleNamespace(step=1), make_figures, None, loader, None)
        saved = logger.state_dict()
    print(json.dumps([now, drawn, logger.seconds()]))
