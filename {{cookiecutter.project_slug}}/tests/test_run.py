"""Short real runs: they learn, stop, resume, refuse what is wrong, and write their files."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from main import main
from {{ cookiecutter.project_slug }}.engine.runtime import Runtime, start
from {{ cookiecutter.project_slug }}.engine.terminal import as_script
from {{ cookiecutter.project_slug }}.utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_objective,
    get_train_state,
    load_model,
    parse_arguments,
)


def run(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Run `main` and return its metrics.jsonl, without times."""
    args = parse_arguments(["--device", "cpu", "--quiet", "--run-dir", str(folder), *options])
    with as_script(), start(args) as runtime:
        main(args, runtime)
    records = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        records.append({**json.loads(line), "samples_per_second": 0, "seconds": 0})
    return records


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["model"]


def test_a_run_trains_and_writes_its_files(tmp_path: Path) -> None:
    *epochs, test = run(tmp_path / "run", "--quick", "--log-every", "1000")
    assert [record["event"] for record in (*epochs, test)] == ["epoch", "epoch", "test"]
    assert [record["epoch"] for record in epochs] == [1, 2]
    assert test["test/loss"] > 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "summary.md", "curves.png", "checkpoints"} <= names
    best = tmp_path / "run" / "checkpoints" / "best.pt"
    again = run(tmp_path / "again", "--evaluate", str(best))
    assert again[-1]["test/loss"] == pytest.approx(test["test/loss"])
    model, info = load_model(best)  # as in a notebook, without data
    assert not model.training
    assert isinstance(info, dict)


@pytest.mark.parametrize("stop_at", [2, 3, 5, 8])
def test_a_stopped_run_resumes_to_equal_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Stop within an epoch, at its last step, in a validation, and in the next epoch."""
    options = ["--quick", "--ema", "0.5", "--log-every", "2"]
    whole = run(tmp_path / "whole", *options)
    check_stop = Runtime.check_stop
    checks = 0

    def receive_signal(runtime: Runtime) -> None:
        nonlocal checks
        checks += 1
        runtime.received = signal.SIGTERM if checks == stop_at else 0
        check_stop(runtime)

    monkeypatch.setattr(Runtime, "check_stop", receive_signal)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / "parts", *options)
    assert stopped.value.code == 128 + signal.SIGTERM
    monkeypatch.undo()
    parts = run(tmp_path / "parts", "--resume")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert parts == whole


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    whole = run(tmp_path, "--quick")
    last = tmp_path / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    assert run(tmp_path, "--resume")[-1] == whole[-1]
    assert "damaged" in capfd.readouterr().err


def test_the_model_fits_one_batch() -> None:
    args = parse_arguments(["--device", "cpu", "--quick"])
    with start(args) as runtime:
        loader, _, _ = get_loaders(args, runtime)
        state, objective = get_train_state(args, runtime, loader), get_objective(args, loader.info)
        batch = next(iter(loader))
        losses = []
        for _ in range(60):
            loss = objective(state.model.train(), batch)["loss"]
            loss.backward()
            state.optimizer.step()
            state.optimizer.zero_grad()
            losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_evaluation_does_not_depend_on_the_batch_size() -> None:
    results = []
    for batch_size in (16, 48):
        args = parse_arguments(["--device", "cpu", "--batch-size", str(batch_size)])
        with start(args) as runtime:
            _, loader, _ = get_loaders(args, runtime)
            state = get_train_state(args, runtime, loader)
            metrics = get_metrics(args, runtime, loader.info)
            objective = get_objective(args, loader.info)
            results.append(evaluate(runtime, state.model, loader, objective, metrics))
    assert results[0] == pytest.approx(results[1], rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lr", "-1"], "--lr"),
        (["--lr", "nan"], "--lr"),
        (["--epochs", "0"], "--epochs"),
        (["--model", "nonsense"], "--model"),
        (["--batch", "8"], "--batch"),
        (["--precision", "fp16"], "fp16"),
        (["--monitor", "nonsense", "--quick"], "--monitor"),
        (["--grad-accum", "7", "--batch-size", "8"], "--batch-size"),
        (["--evaluate", "nowhere/checkpoints/best.pt"], "nowhere"),
    ],
)
def test_wrong_options_end_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path / "run", *options)
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 2
    assert "error: " in error
    assert message in error


def test_a_run_is_not_overwritten_nor_resumed_with_other_options(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    run(tmp_path, "--quick")
    for options, message in ((["--quick"], "holds a run"), (["--resume", "--lr", "0.5"], "--lr")):
        with pytest.raises(SystemExit) as ended:
            run(tmp_path, *options)
        assert ended.value.code == 2
        assert message in capfd.readouterr().err
