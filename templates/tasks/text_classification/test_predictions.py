"""Tests of predict.py: its numbers are those of validation; texts come from files and lines."""

import io
import sys
from pathlib import Path

import pandas
import pytest
import torch
from predicting import predict_table, train

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

WORDS = {"good": ["fine", "great", "nice"], "bad, sad": ["awful", "poor", "ugly"]}


def make_tables(folder: Path) -> tuple[Path, list[str]]:
    """Write train.csv and val.csv; return the folder and the options that use them."""
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 40), ("val", 20)):
        rows = []
        for row in range(count):
            kind = ("good", "bad, sad")[row % 2]
            words = [WORDS[kind][row % 3], *["it", "was", "so", "very"][: row % 4]]
            order = torch.randperm(len(words), generator=generator).tolist()
            rows.append({"id": row, "review": " ".join(words[i] for i in order), "kind": kind})
        pandas.DataFrame(rows).to_csv(folder / f"{split}.csv", index=False)
    own = ["--columns", "review", "kind", "--batch-size", "4"]
    return folder, ["--dataset", "csv", "--data-dir", str(folder), *own]


def test_predictions_are_those_of_validation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, options = make_tables(tmp_path)
    run_dir = train(tmp_path, *options)
    args = parse_arguments([*options, "--device", "cpu"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime, torch.inference_mode():
        loader = get_loaders(args, runtime)[1]
        expected = torch.cat([model(batch[0]).softmax(dim=1) for batch in loader])
        metrics = get_metrics(args, runtime, info)
        values = evaluate(runtime, model, loader, get_objective(args, info), metrics)
    rows, failed = predict_table(run_dir, folder / "val.csv", "--batch-size", "4")
    assert not failed
    assert [row["row"] for row in rows] == [str(row) for row in range(2, 22)]
    for row, probabilities in zip(rows, expected.tolist(), strict=True):
        found = [float(row[f"p_{name}"]) for name in info["classes"]]
        assert found == pytest.approx(probabilities, abs=1e-6)
        assert row["class"] == info["classes"][found.index(max(found))]
        assert float(row["probability"]) == max(found)
    right = sum(row["class"] == row["label"] for row in rows)
    assert right / len(rows) == pytest.approx(values["accuracy"])
    printed = capsys.readouterr().out
    assert f"accuracy {values['accuracy']:.4f}" in printed
    assert f"macro_f1 {values['macro_f1']:.4f}" in printed


def test_texts_come_from_files_tables_and_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = train(tmp_path, *make_tables(tmp_path)[1])
    new = tmp_path / "new"
    for name, data in (
        ("good/a.txt", "a nice one".encode("utf-16")),
        ("good/empty.md", b" \n"),
        ("bad, sad/b.txt", b"\xef\xbb\xbfugly"),
        ("bad, sad/latin.txt", "très ugly".encode("latin-1")),
        ("page.csv", b"review,stars\nso fine,5\n,4\n"),
    ):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(data)
    (new / "picture.png").write_bytes(b"\0")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"great\n\nvery poor\n")))
    rows, failed = predict_table(run_dir, new, "-")
    found = [(Path(row["file"]).name, row["row"], row["label"]) for row in rows]
    assert found == [
        *[("b.txt", "", "bad, sad"), ("a.txt", "", "good"), ("page.csv", "2", "")],
        *[("-", "1", ""), ("-", "3", "")],
    ]
    printed = capsys.readouterr()
    assert failed == 3
    for words in ("empty.md is empty", "latin.txt, line 1: not UTF-8", "page.csv, row 3: no text"):
        assert words in printed.err
    assert "left out: 1 x .png file" in printed.err
    assert "(3 texts have no label that the training knows)" in printed.out
    assert printed.out.splitlines()[-2].endswith("  very poor")


def test_nothing_is_written_for_a_wrong_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = train(tmp_path, *make_tables(tmp_path)[1])
    (tmp_path / "other.csv").write_text("text,stars\nso fine,5\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good\n\xff\n")))
    for name, words in (
        (tmp_path / "other.csv", "no column 'review'; --columns names that of the texts"),
        (tmp_path / "empty.txt", "none of the inputs holds a text"),
        (tmp_path / "folder", "no file with a suffix"),
        ("-", "standard input, line 2: not UTF-8"),
    ):
        with pytest.raises(UserError, match=words):
            predict_table(run_dir, name)
    assert not (run_dir / "predictions.csv").exists()
    rows, _ = predict_table(run_dir, tmp_path / "other.csv", "--columns", "text", "stars")
    assert len(rows) == 1
