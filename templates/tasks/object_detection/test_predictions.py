"""Tests of predict.py: its boxes are those of validation, in pixels of the images."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from predicting import run_predict, train
from torchvision.transforms.v2.functional import to_pil_image

from {{ cookiecutter.project_slug }}.datasets import DATASETS
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_objective,
    load_model,
    parse_arguments,
    stack_detections,
)


def make_split(folder: Path, split: str, number: int) -> None:
    """Write images of a bright square on black, most of them not square, and their boxes."""
    (folder / split).mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": 9, "name": "dog"}, {"id": 7, "name": "cat"}]
    for index in range(number):
        size = (96 + 11 * index, 64)
        left, top = 10 + 3 * index, 5 + 2 * index
        color = (255, 60, 60) if index % 2 else (60, 60, 255)
        image = Image.new("RGB", size)
        image.paste(color, (left, top, left + 40, top + 30))
        image.save(folder / split / f"{index}.png")
        key = f"image {index}"
        content["images"].append(
            {"id": key, "file_name": f"{index}.png", "width": size[0], "height": size[1]}
        )
        content["annotations"].append(
            {
                "id": index + 1,
                "image_id": key,
                "category_id": 9 if index % 2 else 7,
                "bbox": [left, top, 40, 30],
                "area": 1200,
                "iscrowd": 0,
            }
        )
    (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_split(folder, "train", 16)
    make_split(folder, "val", 5)
    return folder


@pytest.fixture(scope="module")
def run_dir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ["--dataset", "coco_json", "--data-dir", str(data), "--image-size", "64"]
    options += ["--workers", "0", "--no-augment"]
    longer = ["--no-quick", "--epochs", "1", "--steps-per-epoch", "40"]  # until it finds some
    return train(tmp_path_factory.mktemp("runs"), *options, *longer)


def read(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "predictions.json").read_text(encoding="utf-8"))


def test_predictions_are_those_of_validation(
    data: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--dataset", "coco_json", "--data-dir", str(data), "--image-size", "64"]
    args = parse_arguments([*options, "--device", "cpu", "--workers", "0"])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime, torch.inference_mode():
        val_loader = get_loaders(args, runtime)[1]
        metrics = get_metrics(args, runtime, info)
        values = evaluate(runtime, model, val_loader, get_objective(args, info), metrics)
        expected = torch.cat([stack_detections(model(batch[0])[1]) for batch in val_loader])
    labels = data / "val.json"
    options = ["--output", str(tmp_path), "--threshold", "0.1"]
    assert run_predict(run_dir, data / "val", "--labels", labels, *options) == 0
    line = f"map {values['map']:.4f}, map50 {values['map50']:.4f}"
    assert line in capsys.readouterr().out
    entries = read(tmp_path)
    assert len(entries) == (expected[..., 5] >= 0).sum() > 5
    rows = [row for row in expected.flatten(0, 1).tolist() if row[5] >= 0]
    for entry, (x1, y1, x2, y2, score, label) in zip(entries, rows, strict=True):
        index = int(entry["image_id"].removeprefix("image "))
        assert entry["file_name"] == (data / "val" / f"{index}.png").as_posix()
        assert entry["category"] == info["classes"][int(label)]
        assert entry["category_id"] == {"dog": 9, "cat": 7}[entry["category"]]
        assert entry["score"] == pytest.approx(score, abs=1e-6)
        width = 96 + 11 * index
        x_scale, y_scale = width / 64, 64 / int(64 * 64 / width)
        box = [x1 * x_scale, y1 * y_scale, (x2 - x1) * x_scale, (y2 - y1) * y_scale]
        assert entry["bbox"] == pytest.approx(box, rel=1e-5, abs=1e-4)
    for index in range(5):
        with Image.open(tmp_path / "drawn" / f"{index}.jpg") as drawn:
            assert drawn.width % (96 + 11 * index) == 0 and drawn.width >= 400


def test_results_have_the_format_of_coco(
    data: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from faster_coco_eval import COCO, COCOeval_faster

    content = json.loads((data / "val.json").read_text(encoding="utf-8"))
    for number, entry in enumerate(content["images"]):
        entry["id"] = content["annotations"][number]["image_id"] = 50 + number
    (tmp_path / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    run_predict(run_dir, data / "val", "--labels", tmp_path / "labels.json", "--output", tmp_path)
    truth = COCO(str(tmp_path / "labels.json"))
    found = truth.loadRes(str(tmp_path / "predictions.json"))
    evaluation = COCOeval_faster(truth, found, "bbox", print_function=print)
    evaluation.run()
    assert len(found.anns) == len(read(tmp_path)) > 5
    assert f"map {evaluation.stats[0]:.4f}" in capsys.readouterr().out


def test_drawn_shapes_in_files_are_predicted_like_those_in_memory(
    run_dir: Path, tmp_path: Path
) -> None:
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    images = (255 * DATASETS["shapes"](parse_arguments([]))[1].tensors[0][:16]).round().byte()
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        to_pil_image(image).save(tmp_path / "images" / f"{number:02d}.png")
    with torch.inference_mode():
        expected = model(images / 255)[1]
    assert run_predict(run_dir, tmp_path / "images") == 0
    entries = read(run_dir / "predictions")
    assert entries
    assert [entry["score"] for entry in entries] == pytest.approx(
        torch.cat([found["scores"] for found in expected]).tolist(), abs=1e-6
    )
    assert {entry["image_id"] for entry in entries} <= set(range(1, 17))
    for entry in entries:
        assert info["classes"][entry["category_id"] - 1] == entry["category"]


def test_boxes_are_those_of_a_photograph_as_it_is_seen(run_dir: Path, tmp_path: Path) -> None:
    image = Image.new("RGB", (120, 70))
    image.paste((255, 60, 60), (20, 10, 60, 40))
    image.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.png", exif=exif)
    assert run_predict(run_dir, tmp_path / "*.png", "--output", tmp_path) == 0
    entries = read(tmp_path)
    straight = [entry["bbox"] for entry in entries if entry["image_id"] == 1]
    turned = [entry["bbox"] for entry in entries if entry["image_id"] == 2]
    assert straight == turned != []


def test_what_is_wrong_is_named(
    data: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_split(tmp_path, "new", 4)
    images, labels, output = tmp_path / "new", tmp_path / "new.json", tmp_path / "out"
    (images / "1.png").write_bytes(b"no image")
    found = [images / "0.png", images / "1.png"]
    assert run_predict(run_dir, *found, "--labels", labels, "--output", output) == 1
    captured = capsys.readouterr()
    assert "1.png" in captured.err and "2 x image that is no input" in captured.err
    assert {entry["image_id"] for entry in read(output)} <= {"image 0"}
    before = (output / "predictions.json").read_bytes()
    (images / "other.png").write_bytes((images / "0.png").read_bytes())
    with pytest.raises(UserError, match=r"holds no image .*other\.png"):
        run_predict(run_dir, images, "--labels", labels, "--output", output)
    with pytest.raises(UserError, match="none of the inputs"):
        run_predict(run_dir, images / "1.png", "--output", output)
    labels.write_text(labels.read_text().replace('"cat"', '"bird"'))
    with pytest.raises(UserError, match="no category 'cat'"):
        run_predict(run_dir, images / "0.png", "--labels", labels, "--output", output)
    assert (output / "predictions.json").read_bytes() == before
