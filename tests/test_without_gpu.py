"""What a GPU would show, tested without one: waits of the host, and graph breaks of the models."""

import json
from pathlib import Path

import pytest
from rendering import CHOICES, render
from running import PROGRAMS, python, rest_is_full

TASKS = CHOICES["task"]
NEVER_WAIT = PROGRAMS / "never_wait_on_meta.py"
VARIANTS = ["--ema", "0.9", "--grad-clip", "1", "--grad-accum", "2"]
WEIGHTS = ["--class-weights", "balanced"]
CASES = {task: [] for task in TASKS}
CASES["image_classification"] = CASES["text_classification"] = WEIGHTS
CASES["tabular of classes"] = [*WEIGHTS, "--dataset", "breast_cancer", "--monitor", "loss"]


@pytest.mark.parametrize("case", CASES)
def test_no_step_waits_for_the_device(tmp_path, case):
    """Between two log points, with the data on the device, in memory and from a reader."""
    project = render({"task": case.split()[0], "logger": "none"}, tmp_path)
    out, _ = python(project, NEVER_WAIT, *VARIANTS, *CASES[case])
    assert out == "6\n"


@pytest.mark.parametrize("weight", rest_is_full(["len(targets)", "(targets > 0).sum()"]))
def test_a_mean_over_another_number_does_not_wait(tmp_path, weight):
    """The loop divides by the sum of an objective's "weight", a number or a tensor."""
    project = render({"task": "tabular", "logger": "none"}, tmp_path)
    path = project / "my_project" / "utils.py"
    text = path.read_text()
    returned = '            return {"loss": loss}\n'
    assert text.count(returned) == 1
    path.write_text(text.replace(returned, returned.replace("}", f', "weight": {weight}}}')))
    out, _ = python(project, NEVER_WAIT, *VARIANTS)
    assert out == "6\n"


LOSS = "        loss = F.mse_loss(predictions, targets)\n"
MUTANTS = [  # file, a line, what comes after it, and the error
    ("utils.py", "        state.step += 1\n", '        output["loss"].item()\n', "Tensor.item()"),
    ("utils.py", LOSS, "        loss = loss * torch.ones(1)\n", "a CPU tensor among"),
    (
        "utils.py",
        LOSS,
        "        loss = predictions[torch.arange(2)].mean()\n",
        "a CPU tensor among",
    ),
    ("utils.py", LOSS, "        bool(loss > 3)\n", "Tensor.item()"),
    ("utils.py", LOSS, "        loss = predictions[targets > 0].mean()\n", "nonzero"),
    (
        "utils.py",
        LOSS,
        "        targets.clone()[targets > 0] = targets[:2]\n",
        "values put by a mask",
    ),
    (
        "utils.py",
        LOSS,
        "        targets.masked_fill(targets > 0, targets[0])\n",
        "a value read from the device",
    ),
    (
        "utils.py",
        LOSS,
        "        loss = loss * torch.tensor(2.0, device=targets.device)\n",
        "a tensor of numbers for which the host waits",
    ),
    (
        "utils.py",
        LOSS,
        "        loss = loss * torch.ones(1).to(targets.device).mean()\n",
        "a copy for which the host waits",
    ),
    (
        "engine/scalars.py",
        '    weight = output.get("weight", samples)\n',
        '    print(output["loss"].tolist())\n',
        "Cannot copy out of meta tensor",
    ),
]


@pytest.mark.parametrize(("file", "line", "more", "error"), rest_is_full(MUTANTS, lane=3))
def test_a_wait_is_noticed(tmp_path, file, line, more, error):
    """Each line that is put into a project makes the test above fail."""
    project = render({"task": "tabular", "logger": "none"}, tmp_path)
    path = project / "my_project" / file
    text = path.read_text()
    assert text.count(line) == 1
    path.write_text(text.replace(line, line + more))
    _, err = python(project, NEVER_WAIT, code=1)
    assert error in err.splitlines()[-1], err


def find_graph_breaks(folder: Path, models: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the reasons of graph breaks by task and model; no models: the default one."""
    words: list[object] = []
    for task, names in models.items():
        answers = {"task": task, "logger": "none", "project_slug": f"my_{task}"}
        words += ["--", render(answers, folder), *names]
    out, _ = python(folder, PROGRAMS / "compile_models.py", *words[1:])
    breaks = {}
    for line in out.splitlines():
        project, model, reasons = json.loads(line)
        breaks[f"{project.removeprefix('my_')} {model}"] = reasons
    return breaks


def test_default_models_are_one_graph(tmp_path):
    breaks = find_graph_breaks(tmp_path, {task: [] for task in TASKS})
    assert breaks == {f"{task} ": [] for task in TASKS}


# torch.compile leaves cuDNN's recurrent layers as they are, and compiles what is around them.
RECURRENT = ["text_classification lstm", "language_modeling lstm", "time_series_forecasting gru"]


@pytest.mark.full
def test_other_models_are_one_graph(tmp_path):
    """All but the large ones of torchvision."""
    models = {
        "image_classification": ["mlp", "vit", "resnet18"],
        "semantic_segmentation": ["lraspp"],
        "image_generation": ["vae"],
        "text_classification": ["embedding_bag", "lstm"],
        "language_modeling": ["lstm"],
        "tabular": ["resnet", "ft_transformer"],
        "time_series_forecasting": ["patchtst", "gru"],
    }
    breaks = find_graph_breaks(tmp_path, models)
    assert len(breaks) == 12
    for model in RECURRENT:
        assert breaks.pop(model)[0] == "Attempted to wrap RNN, GRU, or LSTM"
    assert {model: reasons for model, reasons in breaks.items() if reasons} == {}
