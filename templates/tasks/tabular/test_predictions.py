"""Tests of predict.py: its numbers are those of validation, and bad rows are left out."""

from pathlib import Path

import pandas
import pytest
import torch
from predicting import predict_table, run_predict, train

from {{ cookiecutter.project_slug }}.engine.encoding import number_known
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_objective,
    load_model,
    parse_arguments,
)


def make_tables(folder: Path, *options: str) -> tuple[Path, list[str]]:
    """Write train.csv and val.csv with missing cells; return the folder and options that use it."""
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 60), ("val", 25)):
        sizes = (1e6 + 100 * torch.randn(count, generator=generator)).tolist()
        lines = ["id,size,colour,price,sold"]
        for row, size in enumerate(sizes):
            colour = ("red", "blue", "", "grey, dark")[row % 4]
            cell = "" if row % 7 == 0 else f"{size:.3f}"
            price = 5e4 + size / 10 + 7 * (row % 4)
            lines.append(f'a{row},{cell},"{colour}",{price:.3f} €,{"yes" if row % 3 else "no"}')
        (folder / f"{split}.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder, ["--dataset", "csv", "--data-dir", str(folder), "--batch-size", "8", *options]


def validate(run_dir: Path, options: list[str]) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the outputs of the model for the validation split, and its metrics."""
    args = parse_arguments([*options, "--device", "cpu"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime, torch.inference_mode():
        loader = get_loaders(args, runtime)[1]
        outputs = torch.cat([model(batch[0], batch[1]) for batch in loader])
        metrics = get_metrics(args, runtime, info)
        values = evaluate(runtime, model, loader, get_objective(args, info), metrics)
    return outputs, values


def test_predictions_are_those_of_validation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, options = make_tables(tmp_path, "--target", "price")
    run_dir = train(tmp_path, *options)
    outputs, metrics = validate(run_dir, options)
    info = load_model(run_dir / "checkpoints" / "best.pt")[1]
    expected = outputs.squeeze(1).double() * info["deviation"] + info["mean"]
    other = pandas.read_csv(folder / "val.csv", dtype=str, keep_default_na=False)
    other["note"] = 'a "note"'
    other[["sold", "note", "colour", "id", "price", "size"]].to_csv(tmp_path / "other.csv")
    rows, failed = predict_table(run_dir, tmp_path / "other.csv", "--batch-size", "8")
    found = [float(row["predicted_price"]) for row in rows]
    assert not failed
    assert found == pytest.approx(expected.tolist(), rel=0, abs=1e-6 * info["deviation"])
    assert [row["id"] for row in rows] == other["id"].tolist()
    assert [row["colour"] for row in rows] == other["colour"].tolist()
    printed = capsys.readouterr()
    assert f"25 predictions of price in €: {run_dir / 'predictions.csv'}" in printed.out
    for name in ("r2", "mae", "rmse"):
        assert f"{name} {metrics[name]:.4f}" in printed.out
    assert "does not use: column 1, note, id" in printed.err


def test_classes_have_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, options = make_tables(tmp_path, "--target", "sold", "--columns", "price=drop")
    run_dir = train(tmp_path, *options)
    outputs, metrics = validate(run_dir, options)
    new = pandas.read_csv(folder / "val.csv")
    new.loc[3, ["colour", "sold"]] = ["green", "perhaps"]
    new.loc[10:19, "sold"] = None
    new.drop(columns="price").to_csv(tmp_path / "new.csv", index=False)
    rows, _ = predict_table(run_dir, tmp_path / "new.csv", folder / "val.csv", "--batch-size", "5")
    printed = capsys.readouterr()
    assert "categories that the training does not have: colour 1" in printed.err
    assert "(11 rows have no target that the training knows)" in printed.out
    assert [row["file"] for row in rows] == [str(tmp_path / "new.csv")] * 25 + [
        str(folder / "val.csv")
    ] * 25
    for row, values in zip(rows[25:], outputs.softmax(dim=1).tolist(), strict=True):
        found = [float(row["p_no"]), float(row["p_yes"])]
        assert found == pytest.approx(values, abs=1e-6)
        assert float(row["probability"]) == max(found)
        assert row["predicted_sold"] == ("no", "yes")[found.index(max(found))]
    right = sum(row["predicted_sold"] == row["sold"] for row in rows[25:])
    assert right / 25 == pytest.approx(metrics["accuracy"])


def test_whole_numbers_with_a_point_are_the_same_category() -> None:
    cells = pandas.Series(["1", "2.0", "3", "10.0", "", "01.0", "a"], dtype=object)
    assert number_known(cells, ["1", "2", "10", "a"]).tolist() == [0, 1, -1, 2, -1, -1, 3]


def test_rows_and_tables_that_cannot_be_read_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, options = make_tables(tmp_path, "--target", "price")
    run_dir = train(tmp_path, *options)
    new = folder / "new.csv"
    new.write_text("colour,size,sold,id\nred,5,no,1\nred,5 km,no,2\nred,,no,3\nred,?,no,4\n")
    rows, failed = predict_table(run_dir, new)
    assert [row["id"] for row in rows] == ["1", "3", "4"]
    assert failed == 1
    assert "new.csv, row 3: size is '5 km'" in capsys.readouterr().err
    (folder / "less.csv").write_text("colour\nred\n")
    rows, failed = predict_table(run_dir, folder / "*e*.csv")  # new.csv and less.csv
    assert len(rows) == 3
    assert failed == 2


def test_nothing_is_written_for_a_wrong_input(tmp_path: Path) -> None:
    folder, options = make_tables(tmp_path, "--target", "price")
    run_dir = train(tmp_path, *options)
    less, wrong, pickled = folder / "less.csv", folder / "wrong.csv", folder / "picture.csv"
    less.write_text("colour,id\nred,1\n")
    wrong.write_text("colour,size,sold\nred,1/2,no\n")
    pickled.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    for path, words in (
        (less, "row 1: no column 'size', 'sold', which the model needs; there is colour, id"),
        (wrong, "none of the rows"),
        (pickled, "picture.csv, line"),
        (folder / "none", "does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            predict_table(run_dir, path)
    assert not (run_dir / "predictions.csv").exists()
    before = (folder / "val.csv").read_bytes()
    for name in (folder / "val.csv", folder):
        with pytest.raises(UserError, match="is an input, which it would replace"):
            run_predict(run_dir, name, "--output", folder / "val.csv")
    assert (folder / "val.csv").read_bytes() == before


def test_checkpoints_of_something_else_are_told_apart(tmp_path: Path) -> None:
    folder, options = make_tables(tmp_path, "--target", "price")
    path = train(tmp_path, *options) / "checkpoints" / "best.pt"
    saved = torch.load(path, weights_only=True)
    config = saved["model_config"]
    for changes, words in (
        ({"name": "unet"}, "is of a model that this project does not have: 'unet'"),
        ({"arguments": {"classes": 3}}, "is of another model than 'mlp' here"),
        ({"arguments": {**config["arguments"], "outputs": 2}}, "does not fit"),
        ({"info": {"padding": 0}}, "has no '.*' in its info"),
    ):
        torch.save({**saved, "model_config": {**config, **changes}}, path)
        with pytest.raises(UserError, match=words):
            predict_table(path.parent.parent, folder / "val.csv")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        predict_table(path.parent.parent, folder / "val.csv")
