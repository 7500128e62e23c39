"""Short real runs: they learn, stop, resume, refuse what is wrong, and leave what they promise."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from main import main
from runtime import Runtime, start
from utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_model,
    get_objective,
    get_optimizer,
    parse_arguments,
)


def run(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Run main.py's main in this process and return what it wrote to metrics.jsonl, without times."""
    args = parse_arguments(["--device", "cpu", "--quiet", "--run-dir", str(folder), *options])
    with start(args) as runtime:
        main(args, runtime)
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{**record, "samples_per_second": 0, "seconds": 0} for record in records]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["model"]


def test_a_run_learns_and_leaves_its_files(tmp_path: Path) -> None:
    *epochs, test = run(tmp_path / "run", "--epochs", "2", "--log-every", "1000")
    assert [record["epoch"] for record in epochs] == [1, 2]
    assert epochs[1]["train/loss"] < epochs[0]["train/loss"]
    assert test["test/loss"] > 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "curves.png", "checkpoints"} <= names
    again = run(tmp_path / "again", "--evaluate", str(tmp_path / "run" / "checkpoints" / "best.pt"))
    assert again[-1]["test/loss"] == pytest.approx(test["test/loss"])


@pytest.mark.parametrize("stop_at", [2, 3, 4, 6])
def test_a_stopped_run_resumes_to_equal_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    """Stop within an epoch, at its last step, in the evaluation behind it, and later."""
    options = ["--quick", "--ema", "0.5", "--log-every", "2"]
    whole = run(tmp_path / "whole", *options)
    stop_if_asked, asked = Runtime.stop_if_asked, 0

    def asking(runtime: Runtime) -> None:
        nonlocal asked
        asked += 1
        runtime.signal = signal.SIGTERM if asked == stop_at else 0
        stop_if_asked(runtime)

    monkeypatch.setattr(Runtime, "stop_if_asked", asking)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / "parts", *options)
    assert stopped.value.code == 128 + signal.SIGTERM
    monkeypatch.undo()
    parts = run(tmp_path / "parts", "--resume")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert parts == whole


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    whole = run(tmp_path, "--quick")
    last = tmp_path / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    assert run(tmp_path, "--resume")[-1] == whole[-1]
    assert "damaged" in capfd.readouterr().err


def test_one_batch_is_overfitted() -> None:
    args = parse_arguments(["--device", "cpu", "--quick"])
    with start(args) as runtime:
        loader, _, _ = get_loaders(args, runtime)
        model = get_model(args, runtime, loader.dataset).train()
        objective, optimizer = get_objective(args), get_optimizer(args, model)
        batch = next(iter(loader))
        losses = []
        for _ in range(60):
            loss, _, _ = objective(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_evaluation_does_not_depend_on_the_batch_size() -> None:
    results = []
    for batch_size in (16, 48):
        args = parse_arguments(["--device", "cpu", "--batch-size", str(batch_size)])
        with start(args) as runtime:
            _, loader, _ = get_loaders(args, runtime)
            model, metrics = get_model(args, runtime, loader.dataset), get_metrics(runtime, loader.dataset)
            results.append(evaluate(runtime, model, loader, get_objective(args), metrics))
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
        (["--accumulation", "7", "--batch-size", "8"], "--batch-size"),
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


def test_a_run_is_not_overwritten_nor_resumed_with_other_options(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run(tmp_path, "--quick")
    for options, message in ((["--quick"], "holds a run"), (["--resume", "--lr", "0.5"], "--lr=0.5 is")):
        with pytest.raises(SystemExit) as ended:
            run(tmp_path, *options)
        assert ended.value.code == 2
        assert message in capfd.readouterr().err
