"""Tests of predict.py: its numbers are those of validation, and bad images are left out."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from predicting import predict_table, train

from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.utils import get_loaders, load_model, parse_arguments


def make_images(folder: Path) -> Path:
    """Write ten noisy images of two classes for each of train and val; return the folder."""
    for split in ("train", "val"):
        for label, mean in (("dark", 60), ("light, too", 180)):
            (folder / split / label).mkdir(parents=True)
            for width in range(20, 30):
                noise = Image.effect_noise((width, 24), 40)
                image = noise.point([min(max(value - 128 + mean, 0), 255) for value in range(256)])
                image.convert("RGB").save(folder / split / label / f"{width}.png")
    return folder


def test_predictions_are_those_of_validation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images = make_images(tmp_path / "images")
    options = ["--dataset", "image_folder", "--data-dir", str(images), "--image-size", "16"]
    run_dir = train(tmp_path, *options)
    args = parse_arguments([*options, "--device", "cpu"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime, torch.inference_mode():
        val_loader = get_loaders(args, runtime)[1]
        expected = torch.cat([model(batch[0]).softmax(dim=1) for batch in val_loader])
    names = val_loader.dataset.names
    rows, failed = predict_table(run_dir, images / "val")
    assert not failed
    assert [row["file"] for row in rows] == [str(images / name) for name in names]
    for row, probabilities in zip(rows, expected.tolist(), strict=True):
        found = [float(row[f"p_{name}"]) for name in info["classes"]]
        assert found == pytest.approx(probabilities, abs=1e-6)
        assert row["class"] == info["classes"][found.index(max(found))]
        assert row["label"] == Path(row["file"]).parent.name
    right = sum(row["class"] == row["label"] for row in rows)
    assert f"accuracy {right / len(rows):.4f}" in capsys.readouterr().out


def test_images_that_cannot_be_read_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_dir = train(tmp_path)  # on digits: grey, 8 x 8
    (tmp_path / "new" / "sub").mkdir(parents=True)
    Image.new("RGBA", (30, 20), "red").save(tmp_path / "new" / "a.webp")
    Image.new("I;16", (8, 8), 40_000).save(tmp_path / "new" / "sub" / "b.png")
    (tmp_path / "new" / "broken.png").write_bytes(b"no image")
    (tmp_path / "new" / "notes.txt").write_text("no image either")
    rows, failed = predict_table(run_dir, tmp_path / "new", tmp_path / "new" / "*.webp")
    assert [Path(row["file"]).name for row in rows] == ["a.webp", "b.png"]
    assert "label" not in rows[0]
    assert failed == 1
    messages = capsys.readouterr().err
    assert "broken.png" in messages
    assert "1 x .txt file" in messages


def test_nothing_is_written_if_nothing_can_be_read(tmp_path: Path) -> None:
    run_dir = train(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    for name, words in (("broken.png", "none of"), ("empty", "no file"), ("x", "does not exist")):
        with pytest.raises(UserError, match=words):
            predict_table(run_dir, tmp_path / name)
    assert not (run_dir / "predictions.csv").exists()
    with pytest.raises(UserError, match="has no checkpoints"):
        predict_table(tmp_path / "empty", tmp_path / "broken.png")
