"""--init-from: another run's weights begin a run, as far as they fit."""

import shutil
from pathlib import Path

import pytest
import torch
from rendering import render
from running import FAST, PROGRAMS, read_checkpoint, read_records, run

STILL = ["--lr", "0", "--optimizer", "sgd", "--quick"]  # a training that changes no weight


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the groups of digits, and a run on the digits 0 to 5."""
    folder = render({"logger": "none"}, tmp_path_factory.mktemp("init"))
    shutil.copy(PROGRAMS / "digit_groups.py", folder / "my_project")
    with (folder / "my_project" / "datasets.py").open("a") as file:
        file.write("from .digit_groups import add_groups\nadd_groups(DATASETS)\n")
    options = ["--device", "cpu", "--quiet", "--dataset", "low", "--epochs", "8"]
    run(folder, *options, "--ema", "0.9", "--run-dir", "runs/low")
    return folder


def test_a_run_begins_with_the_weights_of_another_and_resumes_without_it(project, tmp_path):
    """Also the average of the weights; the best epoch of a run directory, or a file."""
    source = Path(shutil.copytree(project / "runs" / "low", tmp_path / "source"))
    best = read_checkpoint(source, "best.pt")["ema_model"]
    options = ["--device", "cpu", "--dataset", "low", "--ema", "0.9", *STILL]
    out, _ = run(project, *options, "--init-from", source, "--run-dir", tmp_path / "run")
    assert f"note        {len(best)} of {len(best)} tensors start from {source}/" in out
    assert "left fresh" not in out and "other data" not in out
    saved = read_checkpoint(tmp_path / "run")
    for part in ("model", "ema_model"):
        for name, weight in best.items():
            if "running" not in name and "tracked" not in name:
                assert torch.equal(saved[part][name], weight), (part, name)
    shutil.rmtree(source)
    resume = ["--resume", "--run-dir", tmp_path / "run", "--epochs", "3"]
    out, _ = run(project, *resume)
    assert "resumed at step 6" in out and "tensors start" not in out
    run(project, "--evaluate", tmp_path / "run" / "checkpoints" / "best.pt", "--quiet")


def test_few_images_of_other_classes_suffice(project, tmp_path):
    """The layer of another size starts fresh, and all others know strokes already."""
    options = ["--device", "cpu", "--dataset", "high", "--epochs", "20", "--run-dir"]
    run(project, *options, tmp_path / "fresh", "--quiet")
    out, _ = run(project, *options, tmp_path / "tuned", "--init-from", "runs/low")
    assert "left fresh, of another shape: head.weight (6, 64), here (4, 64); head.bias" in out
    assert "classes was 0, 1, 2, 3, 4, 5, and is 6, 7, 8, 9 here" in out
    fresh, tuned = (read_records(tmp_path / name)[-1] for name in ("fresh", "tuned"))
    assert tuned["test/accuracy"] > fresh["test/accuracy"] + 0.05


def test_weights_that_cannot_begin_a_run(project, tmp_path):
    options = [*FAST, "--quick", "--run-dir", tmp_path / "run", "--init-from"]
    _, err = run(project, *options, "runs/low", code=2)
    assert err == "error: no weight of runs/low/checkpoints/best.pt fits --model mlp\n"
    (tmp_path / "damaged.pt").write_bytes(b"PK")
    _, err = run(project, *options, tmp_path / "damaged.pt", code=2)
    assert err == f"error: {tmp_path / 'damaged.pt'} is damaged, or not a checkpoint\n"
    assert not (tmp_path / "run").exists()
