"""Trains with every checkpoint written in the background: save_in_background.py OPTIONS...

Each one waits until the training has gone on. Prints JSON: how many were written in a thread, how
many after later steps, and the steps of those that are not what the state was when it was saved.
"""

import json
import sys
import threading
import time
from typing import Any

import torch
from main import main
from my_project.engine import checkpoint_writer
from my_project.engine.checkpoint import Checkpoint
from my_project.engine.runtime import start
from my_project.engine.terminal import as_script
from my_project.utils import parse_arguments

save, write, states = Checkpoint.save, Checkpoint.write, {}
counts = {"in_thread": 0, "later": 0, "wrong": []}


def flatten(saved: dict[str, Any]) -> list[bytes]:
    """Return the bits of the weights, their average and the optimizer's state."""
    parts = []
    for name in ("model", "ema_model"):
        parts += saved[name].values()
    for values in saved["optimizer"]["state"].values():
        parts += values.values()
    return [tensor.numpy().tobytes() for tensor in parts]


def noting_save(checkpoint: Checkpoint, state: Any, *arguments: Any) -> None:
    noting_save.state = state
    parts = ("model", "ema_model", "optimizer")
    states[state.step] = flatten({part: getattr(state, part).state_dict() for part in parts})
    save(checkpoint, state, *arguments)


def waiting_write(checkpoint: Checkpoint, saved: dict[str, Any], is_best: bool) -> None:
    if threading.current_thread() is not threading.main_thread():
        counts["in_thread"] += 1
        until = time.monotonic() + 2
        while noting_save.state.step < saved["step"] + 2 and time.monotonic() < until:
            time.sleep(0.001)
        counts["later"] += noting_save.state.step > saved["step"]
    write(checkpoint, saved, is_best)
    found = torch.load(checkpoint.folder / "last.pt", weights_only=True)
    if flatten(found) != states[found["step"]]:
        counts["wrong"].append(found["step"])


checkpoint_writer.LARGE = 0
Checkpoint.save, Checkpoint.write = noting_save, waiting_write
args = parse_arguments(sys.argv[1:])
with as_script(), start(args) as runtime:
    main(args, runtime)
print(json.dumps(counts))
