"""Tests of predict.py: its masks are those of validation, in the size of the images."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from predicting import run_predict, train
from torchvision.transforms.v2.functional import to_pil_image

from {{ cookiecutter.project_slug }}.datasets import DATASETS
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.output_files import name_outputs
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.predictions import choose_classes
from {{ cookiecutter.project_slug }}.utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_objective,
    load_model,
    parse_arguments,
)

CLASSES = "sky 0 0 255\nfire 255 0 0\nearth 0 90 0\n"


def make_split(folder: Path, number: int) -> None:
    """Write images in three colors, whose borders are elsewhere in each, and their masks."""
    for name in ("images", "masks"):
        (folder / name / "sub").mkdir(parents=True)
    for index in range(number):
        size = (90 + 7 * index, 60)
        image = Image.new("RGB", size, (0, 0, 255))
        image.paste((255, 0, 0), (30 + index, 0, *size))
        image.paste((0, 90, 0), (0, 40, *size))
        name = f"sub/{index}" if index % 2 else str(index)
        image.save(folder / "images" / f"{name}.png")
        image.save(folder / "masks" / f"{name}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "classes.txt").write_text(CLASSES, encoding="utf-8")
    make_split(folder / "train", 16)
    make_split(folder / "val", 5)
    return folder


@pytest.fixture(scope="module")
def run_dir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ["--dataset", "mask_folder", "--data-dir", str(data), "--image-size", "48"]
    return train(tmp_path_factory.mktemp("runs"), *options, "--workers", "0", "--lr", "0.02")


def test_predictions_are_those_of_validation(
    data: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--dataset", "mask_folder", "--data-dir", str(data), "--image-size", "48"]
    args = parse_arguments([*options, "--device", "cpu", "--workers", "0"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime:
        val_loader = get_loaders(args, runtime)[1]
        metrics = get_metrics(args, runtime, info)
        expected = evaluate(runtime, model, val_loader, get_objective(args, info), metrics)
    assert run_predict(run_dir, data / "val", "--output", tmp_path) == 0
    printed = capsys.readouterr().out
    assert f"mean_iou {expected['mean_iou']:.4f}" in printed
    assert f"pixel_accuracy {expected['pixel_accuracy']:.4f}" in printed
    paths = sorted((data / "val" / "images").rglob("*.png"))
    for path in paths:
        name = path.relative_to(data / "val" / "images")
        mask, overlay = Image.open(tmp_path / "masks" / name), tmp_path / "overlays" / name
        assert mask.size == Image.open(path).size == Image.open(overlay.with_suffix(".jpg")).size
        palette = mask.getpalette()
        assert palette is not None and palette[:9] == [0, 0, 255, 255, 0, 0, 0, 90, 0]
        assert numpy.asarray(mask).max() < 3
    written = [*(tmp_path / "masks").rglob("*.png"), *(tmp_path / "overlays").rglob("*.jpg")]
    assert len(written) == 2 * len(paths) == 10


def test_drawn_shapes_in_files_are_predicted_like_those_in_memory(tmp_path: Path) -> None:
    run_dir = train(tmp_path, "--lr", "0.02")
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    images = DATASETS["shapes"](parse_arguments([]))[1].tensors[0]
    bytes_of = (255 * (images[:16] * info["std"] + info["mean"])).round().clamp(0, 255).byte()
    (tmp_path / "images").mkdir()
    for number, image in enumerate(bytes_of):
        to_pil_image(image).save(tmp_path / "images" / f"{number:02d}.png")
    with torch.inference_mode():
        expected = model((bytes_of / 255 - info["mean"]) / info["std"]).argmax(dim=1)
    assert run_predict(run_dir, tmp_path / "images", "--workers", "0") == 0
    for number, labels in enumerate(expected):
        found = numpy.asarray(Image.open(run_dir / "predictions" / "masks" / f"{number:02d}.png"))
        assert (found == labels.numpy()).all()
    assert len(expected.unique()) > 1


def test_masks_get_the_size_of_their_image() -> None:
    logits = torch.randn(3, 6, 4)
    assert torch.equal(choose_classes(logits, (6, 4)), logits.argmax(dim=0).byte())
    fine = torch.nn.functional.interpolate(logits[None], (13, 20), mode="bilinear")[0]
    assert torch.equal(choose_classes(logits, (13, 20)), fine.argmax(dim=0).byte())


def test_every_output_has_a_name_of_its_own_below_the_folder() -> None:
    paths = [Path("a/1.png"), Path("a/2.jpg"), Path("a/2.PNG"), Path("a/sub/../../b/1.png")]
    assert name_outputs(paths) == [Path("a/1"), Path("a/2.jpg"), Path("a/2.PNG"), Path("b/1")]
    assert name_outputs([Path("x/y/1.png")]) == [Path("1")]
    with pytest.raises(UserError, match=r"2 inputs in .* have the name 1"):
        name_outputs([Path("1.png"), Path("1.PNG")])


def test_a_photograph_has_its_mask_as_it_is_seen(run_dir: Path, tmp_path: Path) -> None:
    image = Image.new("RGB", (80, 50), (0, 0, 255))
    image.paste((255, 0, 0), (40, 0, 80, 50))
    image.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.png", exif=exif)
    image.save(tmp_path / "b.tif")
    assert run_predict(run_dir, tmp_path, "--output", tmp_path / "out") == 0
    straight, turned, other = (
        Image.open(tmp_path / "out" / "masks" / name)
        for name in ("a.png", "b.png.png", "b.tif.png")
    )
    assert turned.size == (80, 50)
    assert straight.tobytes() == turned.tobytes() == other.tobytes()


def test_what_is_wrong_is_named(
    data: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_split(tmp_path, 3)
    images, output = tmp_path / "images", tmp_path / "out"
    (output / "masks").mkdir(parents=True)
    (output / "masks" / "mine.txt").write_text("mine")
    (images / "broken.png").write_bytes(b"no image")
    assert run_predict(run_dir, tmp_path, "--output", output) == 1
    captured = capsys.readouterr()
    assert "broken.png" in captured.err and "1 of 4 images have no mask" in captured.err
    assert "mean_iou" not in captured.out
    assert len(list((output / "masks").rglob("*.*"))) == 4  # with the foreign file
    with pytest.raises(UserError, match=r"holds no mask of .*broken\.png"):
        run_predict(run_dir, images, "--masks", tmp_path / "masks")
    (images / "broken.png").unlink()
    Image.new("RGB", (90, 60), (1, 2, 3)).save(tmp_path / "masks" / "0.png")
    assert run_predict(run_dir, images, "--masks", tmp_path / "masks", "--output", output) == 1
    captured = capsys.readouterr()
    assert "color 1 2 3" in captured.err and "2 masks" in captured.out
    with pytest.raises(UserError, match="is a mask"):
        run_predict(run_dir, tmp_path / "masks")
    assert not (run_dir / "predictions").exists()
