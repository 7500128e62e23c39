"""Tests of the task: metrics, models, and own series in order of time."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS, as_time
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.utils import get_metrics, get_objective, parse_arguments

DAYS = range(1, 31)
ROWS = [f"2024-01-{day:02},{day},{100 - day % 3}" for day in DAYS]  # 30 days of two channels


class Persistence(torch.nn.Module):
    """Repeats the last value."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, -1:].expand(-1, 2, -1)


def make_file(folder: Path, rows: list[str], *options: str) -> Namespace:
    """Write rows below a header, and return the options that choose the file."""
    (folder / "series.csv").write_text("\n".join(["date,up,wave", *rows]) + "\n", encoding="utf-8")
    options = ("--context", "4", "--horizon", "2", *options)
    return parse_arguments(["--device", "cpu", "--data-dir", str(folder), *options])


def test_loss_and_metrics_agree_with_a_count_by_hand(tmp_path: Path) -> None:
    args = make_file(tmp_path, ROWS)
    train, _, _ = DATASETS["csv"](args)
    windows = torch.zeros(3, 6, 1)
    windows[:, 3:, 0] = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [5.0, 5.0, 3.0]])
    # Errors: 1, 3, 0, 0, 0, -2.
    output = get_objective(args, {})(Persistence().eval(), (windows,))
    predictions, targets = output["predictions"], output["targets"]
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, train.info)
        for part in (slice(0, 2), slice(2, 3)):  # in two uneven batches
            metrics.update(predictions[part], targets[part])
        values = metrics.compute()
    assert output["loss"].item() == pytest.approx(14 / 6)
    assert values["mse"].item() == pytest.approx(14 / 6)
    assert values["mae"].item() == pytest.approx(6 / 6)
    assert output["mse"].item() == pytest.approx(values["mse"].item())
    assert output["mae"].item() == pytest.approx(values["mae"].item())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "context", "horizon"), [(1, 2, 1), (3, 10, 12), (7, 50, 24)])
def test_every_model_takes_every_shape(
    name: str, channels: int, context: int, horizon: int
) -> None:
    model = MODELS[name](channels=channels, context=context, horizon=horizon)
    forecast = model(torch.randn(2, context, channels))
    forecast.sum().backward()
    assert forecast.shape == (2, horizon, channels)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_splits_follow_one_another_and_are_scaled_by_the_first(tmp_path: Path) -> None:
    splits = DATASETS["csv"](make_file(tmp_path, ROWS))
    up = torch.arange(1.0, 31)
    scaled = (up - up[:18].mean()) / up[:18].std(correction=0)  # of the first 6 of 10 parts
    for split, first, last in zip(splits, (4, 18, 24), (18, 24, 30), strict=True):
        (windows,) = split.tensors
        assert windows.shape == (last - first - 1, 6, 2)
        torch.testing.assert_close(windows[0, 4:, 0], scaled[first : first + 2])  # first forecast
        torch.testing.assert_close(windows[-1, 4:, 0], scaled[last - 2 : last])  # and the last one
        torch.testing.assert_close(windows[1, :, 0], scaled[first - 3 : first + 3])
    assert splits[0].info["channels"] == ["up", "wave"]
    splits = DATASETS["csv"](make_file(tmp_path, ROWS, "--rows", "20"))
    assert [len(split) for split in splits] == [7, 3, 3]


def test_dates_and_numbers_are_times() -> None:
    assert as_time("2016-07-01") < as_time("2016-07-01 01:00:00") < as_time("2016-07-01T01:30:00Z")
    assert as_time("9") < as_time("10.5")


@pytest.mark.parametrize(
    ("row", "text", "message"),
    [
        (5, "2024-01-05,5", "row 6: 2 cells, but the header has 3"),
        (5, "2024-01-05,five,95", "row 6: up is 'five', not a number"),
        (5, "2024-01-05,5,", "row 6: wave is '', not a number"),
        (5, "2024-01-05,5,inf", "row 6: wave is 'inf', not a number"),
        (5, "2024-01-04,5,95", "row 6: 2024-01-04 is not after the row before"),
        (5, "5th of May,5,95", "row 6: '5th of May' is no time"),
        (5, '2024-01-05,"5,95', r"row \d+: unexpected end"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path: Path, row: int, text: str, message: str) -> None:
    rows = [*ROWS[: row - 1], text, *ROWS[row:]]
    with pytest.raises(UserError, match=rf"series\.csv, {message}"):
        DATASETS["csv"](make_file(tmp_path, rows))


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"series\.csv is empty"):
        DATASETS["csv"](make_file(tmp_path, []))
    with pytest.raises(UserError, match=r"series\.csv: 8 rows, .* too few for --context 4"):
        DATASETS["csv"](make_file(tmp_path, ROWS[:8]))
    args = make_file(tmp_path, ROWS)
    path = tmp_path / "series.csv"
    path.write_text("date\n2024-01-01\n2024-01-02\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"series\.csv, row 1: there is no column beside the time"):
        DATASETS["csv"](args)
    path.write_bytes("date,h\u00f6he\n2024-01-01,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"series\.csv, row 1: .* UTF-8"):
        DATASETS["csv"](args)
    path.rename(tmp_path / "a.csv")
    path.touch()
    with pytest.raises(UserError, match="holds 2 CSV files"):
        DATASETS["csv"](args)
    with pytest.raises(UserError, match="nowhere"):
        DATASETS["csv"](parse_arguments(["--data-dir", str(tmp_path / "nowhere.csv")]))
