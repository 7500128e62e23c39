"""Counts the work and the memory of a training step: `benchmarks/models.py` runs it in a project.

Prints a dictionary in JSON. Another step comes before, which makes the optimizer's state.
"""

import json

import torch
from my_project import utils
from my_project.engine.batch import batch_size
from my_project.engine.runtime import start
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode


def train(state: utils.TrainState, objective: utils.Objective, batch: object) -> None:
    """Train one step."""
    objective(state.model, batch)["loss"].backward()
    state.optimizer.step()
    state.optimizer.zero_grad()


args = utils.parse_arguments(["--device", "cpu", "--precision", "fp32"])
with start(args) as runtime:
    loader, _, _ = utils.get_loaders(args, runtime)
    objective = utils.get_objective(args, loader.info)
    state = utils.get_train_state(args, runtime, loader)
    batch = next(iter(loader))
    state.model.train()
    train(state, objective, batch)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        objective(state.model, batch)
    with FlopCounterMode(display=False) as step:
        train(state, objective, batch)
    memory = MemTracker()
    memory.track_external(state.model, state.optimizer)
    with memory:
        train(state, objective, batch)
    (peak,) = memory.get_tracker_snapshot("peak").values()

values = {
    "model": args.model,
    "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
    "batch": batch_size(batch),
    "forward": forward.get_total_flops(),
    "step": step.get_total_flops(),
    "peak": peak["Total"],
}
for kind, size in peak.items():
    values[str(getattr(kind, "value", kind))] = size
print(json.dumps(values))
