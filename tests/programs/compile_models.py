"""Traces the forward pass of models as one graph, as `--compile` does, and lists graph breaks.

`python compile_models.py FOLDER [MODEL ...] [-- FOLDER [MODEL ...]]`: rendered projects with
different slugs, and names in their MODELS, or else the default. Prints a list in JSON for each
model: project, model, graph breaks. It computes the loss of the first batch and of the last one,
which has a sample less, and checks that they are those of the model that is not compiled.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch._dynamo import explain
from torch._dynamo.exc import Unsupported


def find_breaks(project: str, *choice: str) -> list[str]:
    """Return the reasons of the graph breaks of a project's model."""
    utils = importlib.import_module(f"{project}.utils")
    runtime_module = importlib.import_module(f"{project}.engine.runtime")
    args = utils.parse_arguments(["--device", "cpu", *choice])
    with runtime_module.start(args) as runtime:
        loader, _, _ = utils.get_loaders(args, runtime)
        objective = utils.get_objective(args, loader.info)
        model, _ = utils.get_model(args, loader.info)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for step in (0, loader.batches_per_pass - 1):
            loader.set_epoch(0, start_step=step)
            batch = next(iter(loader))
            try:
                loss = compute_loss(objective, compiled, batch)
            except Unsupported as error:
                first = str(error).splitlines()[0]
                return [first, *list_breaks(objective, model, batch)]
            expected = compute_loss(objective, model, batch)
            assert torch.equal(loss, expected), (project, choice, loss, expected)
    return []


def compute_loss(objective: Any, model: Any, batch: Any) -> torch.Tensor:
    """Return the loss of a batch, with the same dropout in each call."""
    torch.manual_seed(0)
    return objective(model, batch)["loss"]


def list_breaks(objective: Any, model: Any, batch: Any) -> list[str]:
    """Return the reasons of the graph breaks that torch can list, each with its place."""
    calls: list[Any] = []
    hook = model.register_forward_pre_hook(lambda _, *call: calls.append(call), with_kwargs=True)
    objective(model, batch)
    hook.remove()
    inputs, keywords = calls[0]
    torch._dynamo.reset()
    breaks = []
    for found in explain(model)(*inputs, **keywords).break_reasons:
        place = found.user_stack[-1]
        breaks.append(f"{Path(place.filename).name}, line {place.lineno}: {found.reason}")
    return breaks


groups: list[list[str]] = [[]]
for word in sys.argv[1:]:
    if word == "--":
        groups.append([])
    else:
        groups[-1].append(word)
for folder, *models in groups:
    project = Path(folder).name
    sys.path.insert(0, folder)
    for name in models:
        print(json.dumps([project, name, find_breaks(project, "--model", name)]))
    if not models:
        print(json.dumps([project, "", find_breaks(project)]))
    torch._dynamo.reset()
