"""Tests of predict.py: its forecasts are those of validation, and times are continued."""

from pathlib import Path

import pandas
import pytest
import torch
from predicting import predict_table, train

from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.engine.times import TimeReader, continue_times, write_times
from {{ cookiecutter.project_slug }}.utils import get_loaders, load_model, parse_arguments

STEPS = ["--context", "8", "--horizon", "3", "--batch-size", "4"]


def make_table(path: Path, *options: str) -> list[str]:
    """Write 60 days of two shops; return options that use it."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for shop, level in (("north", 5_000_000.0), ("south", 100.0)):
        noise = torch.randn(60, 3, generator=generator).numpy()
        days = pandas.date_range("2024-01-15", periods=60).strftime("%d.%m.%Y")
        columns = {"shop": shop, "day": days, "weather": noise[:, 0], "price": 2 + noise[:, 1]}
        parts.append(pandas.DataFrame({**columns, "sales": level + 10 * noise[:, 2]}))
    pandas.concat(parts).to_csv(path, index=False)
    own = ["--time-column", "day", "--series-column", "shop", "--target-column", "sales"]
    own += ["--known-column", "price", *STEPS, *options]
    return ["--dataset", "csv", "--data-dir", str(path), *own]


def test_forecasts_are_those_of_validation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = make_table(tmp_path / "shops.csv", "--model", "gru")
    run_dir = train(tmp_path, *options)
    args = parse_arguments([*options, "--device", "cpu"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime, torch.inference_mode():
        batches = list(get_loaders(args, runtime)[1])
    windows, numbers = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    table = pandas.read_csv(tmp_path / "shops.csv")
    table.loc[table.groupby("shop").cumcount() >= 45, ["sales", "weather"]] = None
    table = table[["price", "sales", "weather", "day", "shop"]].sample(frac=1, random_state=0)
    table.assign(note="x").to_csv(tmp_path / "new.csv", index=False)
    rows, failed = predict_table(run_dir, tmp_path / "new.csv")
    assert not failed
    assert list(rows[0]) == ["shop", "day", "sales"]
    assert [row["day"] for row in rows] == ["29.02.2024", "01.03.2024", "02.03.2024"] * 2
    for number, shop in enumerate(("north", "south")):
        # Validation forecasts days 36 to 47 of 60, so that the tenth of its windows is ours.
        window = windows[numbers == number][9:10]
        with torch.inference_mode():
            expected = model(window[:, :8], window[:, 8:, -1:])[0, :, 0]
        scale = (info["mean"][number, 0].item(), info["std"][number, 0].item())
        found = [(float(row["sales"]) - scale[0]) / scale[1] for row in rows if row["shop"] == shop]
        assert found == pytest.approx(expected.tolist(), abs=1e-6)
    assert "does not use: note" in capsys.readouterr().err


def test_what_cannot_be_forecast_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run_dir = train(tmp_path, *make_table(tmp_path / "shops.csv"))
    table = pandas.read_csv(tmp_path / "shops.csv")
    south = table[table["shop"] == "south"].reset_index(drop=True)
    future = south.copy()
    future.loc[40:, ["sales", "weather"]] = None
    gap = future.copy()
    gap.loc[36, "weather"] = None
    short = future.copy()
    short.loc[41, "price"] = None
    for frame, words in (
        (south, "0 rows after 2024-03-14, the last one with a target, have price; .* needs 3"),
        (short, "1 rows after 2024-02-23"),
        (gap, "weather is missing at 2024-02-20"),
        (future[35:45], "5 rows with a target, and the model needs 8"),
        (future.assign(shop="west"), "west is no series of the training"),
        (future.drop(columns=["price", "shop"]), "no column 'price', 'shop', which"),
        (future.assign(sales="many"), "sales is 'many', not a number"),
    ):
        frame.to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(UserError, match=words):
            predict_table(run_dir, tmp_path / "new.csv")
    assert not (run_dir / "predictions.csv").exists()
    capsys.readouterr()
    both = pandas.concat([future, future.assign(shop="west")])
    both.to_csv(tmp_path / "new.csv", index=False)
    rows, failed = predict_table(run_dir, tmp_path / "new.csv")
    assert len(rows) == 3
    assert failed == 1
    assert "west is no series" in capsys.readouterr().err


def test_a_series_without_names_is_continued_below_its_end(tmp_path: Path) -> None:
    lines = ["hour,load"]
    for row in range(60):
        lines.append(f"2024-03-{1 + row // 24:02}T{row % 24:02}:00,{(row % 5) / 10}")
    (tmp_path / "load.csv").write_text("\n".join(lines))
    run_dir = train(tmp_path, "--dataset", "csv", "--data-dir", str(tmp_path / "load.csv"), *STEPS)
    rows, _ = predict_table(run_dir, tmp_path / "load.csv")
    expected = ["2024-03-03T12:00", "2024-03-03T13:00", "2024-03-03T14:00"]
    assert [row["hour"] for row in rows] == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("2023-10-31|2023-11-30|2023-12-31", "2024-01-31|2024-02-29|2024-03-31"),
        ("2023-10|2023-11|2023-12", "2024-01|2024-02|2024-03"),
        ("2023Q1|2023Q2|2023Q3", "2023Q4|2024Q1|2024Q2"),
        ("2023-W50|2023-W51|2023-W52", "2024-W01|2024-W02|2024-W03"),
        ("2023M10|2023M11|2023M12", "2024M01|2024M02|2024M03"),
        ("20231013|20231113|20231213", "20240113|20240213|20240313"),
        ("2024-02-21|2024-02-22|2024-02-23", "2024-02-24|2024-02-25|2024-02-26"),
        (
            "2024-02-22|2024-02-23|2024-02-26|2024-02-27|2024-02-28|2024-02-29",
            "2024-03-01|2024-03-04|2024-03-05",
        ),
        ("1990|1995|2000", "2005|2010|2015"),
        ("0.5|0.75|1.0", "1.25|1.5|1.75"),
        (
            "2024-03-31T00:00+01:00|2024-03-31T01:00+01:00|2024-03-31T03:00+02:00",
            "2024-03-31T02:00+00:00|2024-03-31T03:00+00:00|2024-03-31T04:00+00:00",
        ),
        (
            "2024-12-30 23:30:00|2024-12-31 23:30:00",
            "2025-01-01 23:30:00|2025-01-02 23:30:00|2025-01-03 23:30:00",
        ),
    ],
)
def test_times_go_on_in_their_step_and_form(cells: str, expected: str) -> None:
    reader = TimeReader(Path("table.csv"), "time")
    reader.add(pandas.Series(cells.split("|"), dtype=object))
    assert write_times(continue_times(reader.finish(), 3)) == expected.split("|")
