"""Tests of predict.py."""

from pathlib import Path

from predicting import run_predict, train


def test_a_line_is_continued(tmp_path: Path) -> None:
    run_dir = train(tmp_path)
    assert run_predict(run_dir, "2.0") == 0
    assert float((run_dir / "predictions.txt").read_text()) > 0
