"""--activation-checkpointing: the same training, with less memory for activations."""

import json

import pytest
from rendering import CHOICES, render
from running import FAST, PROGRAMS, python, records, rest_is_full, run, same_weights


def test_a_block_is_computed_again_as_it_was(tmp_path):
    """Dropout draws the same, batch norm's statistics count once, and less is kept."""
    project = render({"distributed": "none", "logger": "none"}, tmp_path)
    out, _ = python(project, PROGRAMS / "checkpoint_blocks.py")
    found = json.loads(out)
    assert found["names"] and len(found["equal"]) > 20
    assert all(found["equal"].values()), found["equal"]
    without, with_it = found["kept"]
    assert with_it < 0.1 * without
    _, err = run(project, *FAST, "--activation-checkpointing", code=2)
    assert err == (
        "error: --activation-checkpointing: --model mlp has none of the BLOCKS in models.py\n"
    )


CASES = [("image_classification", "ddp", 2), ("text_classification", "fsdp", 2)]
CASES += [("tabular", "none", 1)]
CASES += [(task, "none", 1) for task in CHOICES["task"] if task != "tabular"]
CASES += [(task, "fsdp", 2) for task in CHOICES["task"] if task != "text_classification"]
# Their default models have no blocks.
MODELS = {"tabular": "ft_transformer", "time_series_forecasting": "patchtst"}


@pytest.mark.parametrize(("task", "distributed", "processes"), rest_is_full(CASES, lane=2))
def test_the_training_stays_the_same(tmp_path, task, distributed, processes):
    """On the CPU bit for bit; a run may be resumed with the option, or without it."""
    project = render({"task": task, "distributed": distributed, "logger": "none"}, tmp_path)
    options = ["--device", "cpu", "--quiet", "--quick", "--ema", "0.9", "--log-every", "1"]
    if task in MODELS:
        options += ["--model", MODELS[task]]
    settings = {"processes": processes, "torchrun": False}
    run(project, *options, "--run-dir", "runs/plain", **settings)
    less = [*options, "--activation-checkpointing", "--run-dir", "runs/less"]
    run(project, *less, **settings)
    assert same_weights(project / "runs" / "plain", project / "runs" / "less")
    assert records(project / "runs" / "plain") == records(project / "runs" / "less")
    more = ["--resume", "--epochs", "3", "--quiet", "--run-dir", "runs/less"]
    run(project, *more, "--no-activation-checkpointing")
