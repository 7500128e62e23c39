"""Tests of the task: metrics, models, and own series in order of time."""

import io
import re
from argparse import Namespace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS, in_memory
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.loader import Loader
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.engine.series import TimeSeries
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.plots import make_figures
from {{ cookiecutter.project_slug }}.utils import (
    get_metrics,
    get_model_arguments,
    get_objective,
    parse_arguments,
)

DAYS = range(1, 31)
ROWS = [f"2024-01-{day:02},{day},{100 - day % 3}" for day in DAYS]  # 30 days of two channels


class Persistence(torch.nn.Module):
    """Repeats the last value."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, -1:].expand(-1, 2, -1)


def make_file(
    folder: Path, rows: list[str], *options: str, header: str = "date,up,wave"
) -> Namespace:
    """Write rows below a header, and return the options that choose the file."""
    (folder / "series.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    options = ("--context", "4", "--horizon", "2", *options)
    return parse_arguments(["--device", "cpu", "--data-dir", str(folder), *options])


def test_loss_and_metrics_agree_with_a_count_by_hand(tmp_path: Path) -> None:
    args = make_file(tmp_path, ROWS)
    train, _, _ = DATASETS["csv"](args)
    windows = torch.zeros(3, 6, 1)
    windows[:, 3:, 0] = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [5.0, 5.0, 3.0]])
    # Errors: 1, 3, 0, 0, 0, -2.
    output = get_objective(args, train.info)(Persistence().eval(), (windows,))
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


def get_notes(folder: Path, times: list[str], *options: str) -> str:
    """Return the notes about a series of one channel with these times."""
    rows = [f"{time},{number}" for number, time in enumerate(times)]
    train, _, _ = DATASETS["csv"](make_file(folder, rows, *options, header="time,value"))
    return "\n".join(train.info["notes"])


def count_days(form: str, step: int = 1, number: int = 60) -> list[str]:
    return [f"{datetime(2020, 1, 1) + timedelta(days=step * n):{form}}" for n in range(number)]


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (count_days("%Y-%m-%d"), "2020-01-01 to 2020-02-29, step 1 day"),
        (count_days("%d.%m.%Y 00:10:00"), "step 1 day"),
        (count_days("%m/%d/%Y"), "2020-01-01 to 2020-02-29, step 1 day"),
        (count_days("%-m/%-d/%Y %I:%M %p"), "step 1 day"),
        (count_days("%d-%b-%Y", step=7), "step 7 days"),
        (count_days("%Y%m%d"), "step 1 day"),
        (count_days("%G-W%V", step=7), "2019-12-30 to .*, step 7 days"),
        ([f"{2000 + n // 12}-{n % 12 + 1:02}" for n in range(60)], "to 2004-12-01, step 1 month"),
        ([f"{n % 12 + 1:02}/01/{2000 + n // 12}" for n in range(60)], "step 1 month"),
        ([f"{2000 + n // 4}Q{n % 4 + 1}" for n in range(60)], "to 2014-10-01, step 3 months"),
        ([f"Q{n % 4 + 1} {2000 + n // 4}" for n in range(60)], "step 3 months"),
        ([str(1900 + n) for n in range(60)], "1900 to 1959, step 1"),
        ([f"{0.5 * n}" for n in range(60)], "0 to 29.5, step 0.5"),
        (count_days("%Y-%m-%d 10:00:00.123456789"), "step 1 day"),
        (count_days("%Y-%m-%dT%H:%M:%SZ"), "2020-01-01 UTC to 2020-02-29 UTC, step 1 day"),
    ],
)
def test_times_have_many_forms(tmp_path: Path, times: list[str], note: str) -> None:
    notes = get_notes(tmp_path, times)
    assert re.search(f"time: time, .*{note}$", notes)


def test_gaps_and_order_are_said(tmp_path: Path) -> None:
    days = count_days("%Y-%m-%d", number=390)
    assert "row 102 (2020-07-09) is 91 days later" in get_notes(tmp_path, days[:100] + days[190:])
    notes = get_notes(tmp_path, days[::-1])
    assert "sorted by time, as row 3 is earlier" in notes and "gap" not in notes
    weekdays = [day for day in days if datetime.fromisoformat(day).weekday() < 5]
    notes = get_notes(tmp_path, weekdays)
    assert "step 1 weekday" in notes and "gap" not in notes
    months = [f"{2000 + n // 12}-{n % 12 + 1:02}-15" for n in range(60)]
    assert "2 months later" in get_notes(tmp_path, months[:30] + months[31:])
    odd = sorted({n * n % 997 for n in range(300)})
    assert "the times are irregular" in get_notes(tmp_path, list(map(str, odd)))


def test_clock_changes_are_explained(tmp_path: Path) -> None:
    utc = [datetime(2020, 10, 20, tzinfo=timezone.utc) + timedelta(hours=n) for n in range(200)]
    change = datetime(2020, 10, 25, 1, tzinfo=timezone.utc)
    local = [hour + timedelta(hours=2 if hour < change else 1) for hour in utc]
    naive = [f"{hour:%Y-%m-%d %H:%M:%S}" for hour in local]
    with pytest.raises(UserError, match=r"row 123: 2020-10-25 02:.* row 122, .*summer time"):
        get_notes(tmp_path, naive)
    offsets = [f"+0{2 if hour < change else 1}:00" for hour in utc]
    notes = get_notes(tmp_path, [a + b for a, b in zip(naive, offsets, strict=True)])
    assert notes.endswith("step 1 hour")
    spring = [f"{datetime(2020, 3, 28) + timedelta(hours=n + (n > 25))}" for n in range(99)]
    assert get_notes(tmp_path, spring).endswith("step 1 hour")  # 02:00 is missing: no gap


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([f"{n + 1:02}/01/2020" for n in range(12)], "days and months cannot be told apart"),
        (["2020-01-01 10:00", "2020-01-02 10:00Z"], "row 3: 2020-01-02 10:00Z has a distance"),
        (["3", "1", "2"], "row 3: the time 1 is less than in the row before"),
        (["2_0", "2_1"], "row 2: '2_0' is no time"),
        (["13:00:00", "14:00:00"], "row 2: '13:00:00' is no time"),
        (["2020-01-01", ""], "row 3: time has no time"),
    ],
)
def test_times_that_are_wrong_are_named(tmp_path: Path, times: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_notes(tmp_path, times)


def test_windows_with_missing_values_are_left_out(tmp_path: Path) -> None:
    rows = [*ROWS[:9], "2024-01-10,,99", *ROWS[10:]]
    train, val, test = DATASETS["csv"](make_file(tmp_path, rows))
    assert [len(train), len(val), len(test)] == [7, 5, 5]  # 6 windows hold the tenth row
    assert "missing values: up 1, first in row 11" in train.info["notes"]
    assert any("left out: 6 of 23 windows" in note for note in train.info["notes"])
    known = torch.tensor([float(n) for n in range(1, 19) if n != 10])
    assert train.info["mean"][0].item() == pytest.approx(known.mean().item())
    samples = torch.stack([train[index][0] for index in range(len(train))])
    assert samples.isfinite().all()
    assert train.keys is not None and len(train.keys) == 7
    with start(make_file(tmp_path, rows, "--batch-size", "3")) as runtime:
        loader = Loader(make_file(tmp_path, rows, "--batch-size", "3"), runtime, train, "train")
        (batches,) = zip(*loader, strict=True)
    torch.testing.assert_close(torch.cat(batches).sum(), samples.sum())


def test_the_order_of_the_channels_changes_no_key(tmp_path: Path) -> None:
    args = make_file(tmp_path, ROWS)
    keys = DATASETS["csv"](args)[0].keys
    args.target_column = ["wave", "up"]
    again = DATASETS["csv"](args)[0].keys
    assert keys is not None and again is not None
    assert torch.equal(again, keys)


def test_several_series_have_their_own_borders(tmp_path: Path) -> None:
    rows = []
    for day in DAYS:  # in turns
        rows.append(f"2024-01-{day:02},north,{day}")
        if day <= 20:
            rows.append(f"2024-01-{day:02},{'south ' if day == 3 else 'south'},{1000 - 10 * day}")
        if day <= 5:
            rows.append(f"2024-01-{day:02},west,")
        if day == 1:
            rows.append("2024-01-01,young,1")  # has no training split
    args = make_file(tmp_path, rows, "--series-column", "place", header="date,place,sales")
    splits = DATASETS["csv"](args)
    info = splits[0].info
    assert info["series"] == ["north", "south", "west", "young"]
    assert any("2 x series too short for a window, such as west" in note for note in info["notes"])
    assert [len(split) for split in splits] == [13 + 7, 5 + 3, 5 + 3]
    for split in splits:
        windows, numbers = zip(*[split[index] for index in range(len(split))], strict=True)
        assert set(map(int, numbers)) == {0, 1}
        for window, number in zip(windows, numbers, strict=True):
            values = window[:, 0] * info["std"][number] + info["mean"][number]
            steps = values.diff().float()
            torch.testing.assert_close(steps, torch.full((5,), [1.0, -10.0][number]))
    south = torch.arange(990, 870, -10.0)  # the first 12 of 20 days
    assert info["mean"][1].item() == pytest.approx(south.mean().item())
    model = MODELS["dlinear"](**get_model_arguments(args, info))
    batch = torch.stack(windows), torch.stack(numbers)
    assert get_objective(args, info)(model, batch)["predictions"].shape == (len(windows), 2, 1)
    rows[1] = rows[1].replace("south", "")
    with pytest.raises(UserError, match="row 3: the name of the series is empty"):
        DATASETS["csv"](
            make_file(tmp_path, rows, "--series-column", "place", header="date,place,sales")
        )


@pytest.mark.parametrize("name", MODELS)
def test_models_see_inputs_and_what_is_known_in_advance(tmp_path: Path, name: str) -> None:
    rows = [f"{row},{n % 7},{n % 2}" for n, row in enumerate(ROWS)]
    options = ["--target-column", "wave", "--known-column", "holiday", "--model", name]
    args = make_file(tmp_path, rows, *options, header="date,up,wave,rain,holiday")
    train, _, _ = DATASETS["csv"](args)
    assert train.info["channels"] == ["wave", "up", "rain", "holiday"]
    model = MODELS[name](**get_model_arguments(args, train.info)).eval()
    (windows,) = train.tensors
    windows = windows[:5].clone().requires_grad_()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    output = get_objective(args, train.info)(model, (windows,))
    assert output["predictions"].shape == output["targets"].shape == (5, 2, 1)
    assert output["targets"].equal(windows[:, 4:, :1])
    output["predictions"].sum().backward()
    seen = windows.grad.ne(0).any(dim=0)  # (context + horizon, channels)
    assert seen[:4, :3].any(dim=0).all()  # the past of the targets and the inputs
    assert not seen[4:, :3].any() and seen[4:, 3].all()  # the future of what is known alone


def test_rounding_is_no_deviation(tmp_path: Path) -> None:
    values = [0.1 + 0.2 if n % 2 else 0.3 for n in range(20)] + [0.31] * 10
    rows = [f"{row},{value}" for row, value in zip(ROWS, values, strict=True)]
    splits = DATASETS["csv"](make_file(tmp_path, rows, header="date,up,wave,rounded"))
    assert max(split.tensors[0].abs().max() for split in splits) < 10


def test_windows_share_their_memory(tmp_path: Path) -> None:
    args = parse_arguments(["--context", "50", "--horizon", "10"])
    splits = in_memory(args, TimeSeries("random", torch.randn(1000, 2), ["a", "b"]))
    storages = {split.tensors[0].untyped_storage().data_ptr() for split in splits}
    assert len(storages) == 1
    assert splits[0].tensors[0].untyped_storage().nbytes() == 1000 * 2 * 4


@pytest.mark.parametrize(
    ("row", "text", "message"),
    [
        (5, "2024-01-05,5", "row 6: "),
        (5, "2024-01-05,five,95", "row 6: up is 'five', not a number"),
        (5, "2024-01-05,5,inf", "row 6: wave is 'inf', not a number"),
        (5, "2024-01-04,5,95", "row 6: 2024-01-04 is the time of row 5, too; .*--series-column"),
        (5, "5th of May,5,95", "row 6: '5th of May' is no time"),
        (5, '2024-01-05,"5,95', r"row \d+: "),
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
    with pytest.raises(UserError, match=r"series\.csv, row 1: there is no column beside date"):
        DATASETS["csv"](args)
    path.write_text("\n".join(ROWS), encoding="utf-8")
    with pytest.raises(UserError, match=r"row 1: 2024-01-01, 1, 99 are values: put the names"):
        DATASETS["csv"](args)
    path.write_bytes("date,h\u00f6he\n2024-01-01,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"series\.csv, .* 1: not UTF-8"):
        DATASETS["csv"](args)
    path.rename(tmp_path / "a.csv")
    path.touch()
    with pytest.raises(UserError, match=r"needs one table .*holds a\.csv, series\.csv"):
        DATASETS["csv"](args)
    with pytest.raises(UserError, match="nowhere"):
        DATASETS["csv"](parse_arguments(["--data-dir", str(tmp_path / "nowhere.csv")]))


def test_three_digits_behind_a_comma_are_decimals_where_semicolons_separate(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02};{day + 0.125:.3f}".replace(".", ",") for day in DAYS]
    train, *_ = DATASETS["csv"](make_file(tmp_path, rows, header="date;up"))
    assert 1 < float(train.info["mean"]) < 30
    rows = [f"2024-01-{day:02};{day + 990:,}".replace(",", ".") for day in DAYS]
    args = make_file(tmp_path, rows, header="date;up")
    with pytest.raises(UserError, match=r"row 11: up is '1\.000': does the mark stand"):
        DATASETS["csv"](args)


def test_names_in_figures_are_no_formulas(tmp_path: Path) -> None:
    rows = [f"{row},${name}_$" for row in ROWS for name in "ab"]
    args = make_file(tmp_path, rows, "--series-column", "$s", header="date,$5_$10,wave,$s")
    train, *_ = DATASETS["csv"](args)
    with start(args) as runtime:
        loader = Loader(args, runtime, train, "train")
        figures = make_figures(runtime, Persistence(), loader, {})
    figures["predictions"].savefig(io.BytesIO())
