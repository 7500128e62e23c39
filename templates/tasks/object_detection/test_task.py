"""Tests of object detection: its metrics, its losses, its models and own images."""

import io
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from {{ cookiecutter.project_slug }}.datasets import DATASETS, ImageFiles, augment
from {{ cookiecutter.project_slug }}.engine.boxes import make_sample
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.report import new_figure
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.engine.voc import SIDES
from {{ cookiecutter.project_slug }}.engine.yolo import parse_names
from {{ cookiecutter.project_slug }}.models import MODELS, center_detections, center_losses
from {{ cookiecutter.project_slug }}.plots import draw_detections
from {{ cookiecutter.project_slug }}.utils import get_metrics, get_objective, parse_arguments


def test_average_precision_agrees_with_a_count_by_hand() -> None:
    nothing = [-1.0] * 6
    right = [0, 0, 10, 10, 0.9, 0]
    wrong = [50, 50, 60, 60, 0.8, 0]
    second = [20, 20, 30, 30, 0.7, 0]
    smaller = [0, 0, 10, 7.2, 0.6, 1]  # right at IoUs of up to 0.7
    predictions = torch.tensor([[right, wrong, second], [smaller, nothing, nothing], [nothing] * 3])
    empty = [0, 0, 0, 0, -1]
    targets = torch.tensor(
        [
            [[0, 0, 10, 10, 0], [20, 20, 30, 30, 0]],
            [[0, 0, 10, 10, 1], empty],
            [empty, empty],
        ]
    ).float()
    args = parse_arguments(["--device", "cpu"])
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, {})
        for part in (slice(0, 2), slice(2, 3)):  # in two uneven batches
            metrics.update(predictions[part], targets[part])
        values = metrics.compute()
    first = (51 * 1 + 50 * 2 / 3) / 101  # mean precision at recalls of 0, 0.01, ... 1
    assert values["map50"].item() == pytest.approx((first + 1) / 2)
    assert values["map"].item() == pytest.approx((first + 5 / 10) / 2)


def test_perfect_boxes_have_no_loss_and_are_detected() -> None:
    boxes = torch.tensor([[[4.0, 8.0, 20.0, 16.0], [0.0, 0.0, 0.0, 0.0]]]).expand(2, 2, 4)
    labels = torch.tensor([[1, -1], [-1, -1]])
    heatmap = torch.full((2, 3, 8, 8), -12.0)
    heatmap[0, 1, 3, 3] = 12.0  # the center (12, 12) is in the cell from (12, 12) to (16, 16)
    predicted = boxes[:, 0, :, None, None].expand(2, 4, 8, 8)
    losses = center_losses(heatmap, predicted, boxes, labels)
    assert losses["box"].tolist() == [0, 0]
    assert losses["class"].max() < 1e-3
    found, nothing = center_detections(heatmap, predicted)
    assert found["boxes"].tolist() == [[4, 8, 20, 16]]
    assert found["labels"].tolist() == [1]
    assert len(nothing["boxes"]) == 0


def test_the_loss_has_its_parts_and_predictions_only_in_evaluation() -> None:
    batch = [tensor[:3] for tensor in DATASETS["shapes"](parse_arguments([]))[2].tensors]
    model = MODELS["centernet"](image_size=64, num_classes=3)
    objective = get_objective(parse_arguments(["--box-weight", "0.5"]), {})
    output = objective(model, batch)
    loss = output["class_loss"] + 0.5 * output["box_loss"]
    assert output["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert "predictions" not in output
    output = objective(model.eval(), batch)
    assert output["predictions"].shape == (3, 100, 6)
    assert output["targets"].shape == (3, 4, 5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_and_the_loss_of_an_image_is_its_own(name: str) -> None:
    model = MODELS[name](image_size=32, num_classes=3)
    images = torch.rand(2, 3, 32, 32)
    boxes = torch.tensor([[[4.0, 4.0, 20.0, 16.0]], [[0.0, 0.0, 0.0, 0.0]]])
    labels = torch.tensor([[2], [-1]])  # the second image is empty
    losses, nothing = model(images, boxes, labels)
    assert nothing == []
    (losses["class"] + losses["box"]).mean().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    model.eval()
    with torch.no_grad():
        losses, detections = model(images, boxes, labels)
        alone, _ = model(images[1:], boxes[1:], labels[1:])
    assert losses["box"][1] == 0
    assert alone["class"][0].item() == pytest.approx(losses["class"][1].item(), rel=1e-3)
    assert all(0 <= label < 3 for found in detections for label in found["labels"].tolist())
    assert all(found["scores"].diff().le(0).all() for found in detections)


def test_augmentation_moves_boxes_with_their_objects() -> None:
    train = DATASETS["shapes"](parse_arguments([]))[0]
    assert (train.tensors[2] < 0).all(dim=1).any(), "some images are empty"
    images = torch.zeros(4, 3, 64, 64)
    images[:, :, 10:40, 5:20] = 1
    boxes = torch.tensor([[[5.0, 10.0, 20.0, 40.0]]]).repeat(4, 1, 1)
    noise = torch.zeros(4, 8)
    noise[:, :2] = torch.tensor([[0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]])
    varied, moved, _ = augment((images, boxes, torch.zeros(4, 1)), noise)
    for image, (x1, y1, x2, y2) in zip(varied, moved[:, 0].int().tolist(), strict=True):
        assert image[:, y1:y2, x1:x2].min() > 0.5
        assert image.sum().item() == pytest.approx(image[:, y1:y2, x1:x2].sum().item())
    assert moved[3].tolist() == boxes[3].tolist()


def keep(content: dict[str, Any]) -> None:
    pass


def make_images(folder: Path, change: Callable[[dict[str, Any]], object] = keep) -> Namespace:
    (folder / "images").mkdir(parents=True)
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    for i in range(20):
        Image.new("RGB", (60, 40), (10 * i, 0, 0)).save(folder / "images" / f"{i}.png")
        content["images"].append({"id": 100 + i, "file_name": f"{i}.png"})
        for j in range(i % 3):  # every third image is empty
            entry = {"image_id": 100 + i, "category_id": 9, "bbox": [30 * j, 10, 30, 20]}
            content["annotations"].append(entry)
    change(content)
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    options = ["--dataset", "coco_json", "--data-dir", str(folder), "--image-size", "32"]
    return parse_arguments(options)


def set_box(index: int, *box: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["annotations"][index].update(bbox=box)


def test_own_images_are_split_and_fitted_into_a_square(tmp_path: Path) -> None:
    args = make_images(tmp_path)
    train, val, test = DATASETS["coco_json"](args)
    assert [len(split) for split in (train, val, test)] == [16, 2, 2]
    assert train.info["classes"] == ["cat", "dog"]
    args.image_size = 120
    args.augment = False
    plain = DATASETS["coco_json"](args)[0]
    for i in range(16):
        image, boxes, labels = train[i]
        assert image.shape == (3, 32, 32)
        assert boxes.shape == (2, 4)
        assert boxes.min() >= 0
        assert boxes.max() <= 32
        assert ((labels == 1) | (labels == -1)).all()
        boxes, labels = plain[i][1:]
        expected = [[0, 20, 60, 60], [60, 20, 120, 60]]
        assert boxes[labels >= 0].tolist() == expected[: int((labels >= 0).sum())]


def test_splits_of_own_images_are_taken_as_they_are(tmp_path: Path) -> None:
    args = make_images(tmp_path)
    text = (tmp_path / "annotations.json").read_text(encoding="utf-8")
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    (tmp_path / "annotations.json").unlink()
    assert [len(split) for split in DATASETS["coco_json"](args)] == [20, 20, 20]
    (tmp_path / "test.json").unlink()
    splits = DATASETS["coco_json"](args)
    assert splits[2].names == splits[1].names
    assert "no test split" in " ".join(splits[0].info["notes"])
    content = json.loads(text)
    content["categories"].reverse()  # labels go by name
    (tmp_path / "valid.json").write_text(json.dumps(content), encoding="utf-8")
    splits = DATASETS["coco_json"](args)
    assert splits[1].info["class_counts"]["val"] == {"cat": 0, "dog": 19}
    (tmp_path / "valid.json").write_text(text.replace('"dog"', '"horse"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"valid\.json: .*1\.png has a 'horse', no category of"):
        DATASETS["coco_json"](args)


def test_each_split_may_have_its_folder(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        args = make_images(tmp_path / name)
        (tmp_path / name / "annotations.json").rename(tmp_path / name / "_annotations.coco.json")
        for path in (tmp_path / name / "images").iterdir():
            path.rename(tmp_path / name / path.name)
    args.data_dir = tmp_path
    splits = DATASETS["coco_json"](args)
    assert [len(split) for split in splits] == [20, 20, 20]
    assert splits[0].names[0] == "train/0.png"


def write_windows(content: dict[str, Any]) -> None:
    for entry in content["images"]:
        entry["file_name"] = "images\\" + entry["file_name"]


def write_texts(content: dict[str, Any]) -> None:
    for entry in content["annotations"]:
        entry.update(category_id="9", bbox=[str(number) for number in entry["bbox"]])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (write_windows, ""),
        (write_texts, ""),
        (set_box(4, 5, 5, 0, 5), "1 x box without an area"),
        (set_box(4, 35, 10, 30, 20), "1 x part of a box outside of its image"),
        (lambda content: content["annotations"][4].update(iscrowd=1), "1 x box of a crowd"),
    ],
)
def test_what_is_harmless_is_read_and_counted(
    tmp_path: Path, change: Callable[[Any], object], note: str
) -> None:
    args = make_images(tmp_path, change)
    text = (tmp_path / "annotations.json").read_text(encoding="utf-8")
    (tmp_path / "annotations.json").write_text(text, encoding="utf-8-sig")
    splits = DATASETS["coco_json"](args)
    assert sum(map(len, splits)) == 20
    assert note in " ".join(splits[0].info["notes"])
    counts = [counts["dog"] for counts in splits[0].info["class_counts"].values()]
    assert sum(counts) == (18 if "area" in note or "crowd" in note else 19)


def test_a_class_that_only_other_splits_have_is_said(tmp_path: Path) -> None:
    for name, label in (("train", 0), ("val", 1)):
        args = make_yolo(tmp_path, f"{name}/images", f"{name}/labels")
        for path in (tmp_path / name / "labels").iterdir():
            path.write_text(f"{label} 0.5 0.5 0.5 0.5\n", encoding="utf-8")
    notes = DATASETS["yolo"](args)[0].info["notes"]
    assert "classes that are not in train: dog" in notes
    assert "classes that are not in val and test: cat" in notes


def test_a_split_without_boxes_is_refused(tmp_path: Path) -> None:
    args = make_images(tmp_path, lambda content: content["annotations"].clear())
    with pytest.raises(UserError, match="the train split, 16 images, has no boxes"):
        DATASETS["coco_json"](args)
    args = make_images(tmp_path / "few", keep_first_boxes)
    for counts in DATASETS["coco_json"](args)[0].info["class_counts"].values():
        assert counts["dog"] > 0


def keep_first_boxes(content: dict[str, Any]) -> None:
    del content["annotations"][4:]


def add_size(content: dict[str, Any]) -> None:
    for entry in content["images"]:
        entry.update(width=60, height=40)


@pytest.mark.parametrize("name", ["coco_json", "yolo", "voc_xml"])
def test_a_start_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "coco_json":
        args = make_images(tmp_path, add_size)
    else:
        args = make_yolo(tmp_path) if name == "yolo" else make_voc(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", None)
        splits = DATASETS[name](args)
    assert sum(map(len, splits)) == 20
    for split in splits:
        for index in range(len(split)):
            split[index]


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    args = make_images(tmp_path, add_size)
    for size, message in (((120, 80), "120 x 80 pixels, and 60 x 40"), ((40, 60), "EXIF")):
        for path in (tmp_path / "images").iterdir():
            Image.new("RGB", size).save(path)
        with pytest.raises(UserError, match=message):
            DATASETS["coco_json"](args)[0][0]


def make_yolo(folder: Path, images: str = "images", labels: str = "labels") -> Namespace:
    """Write 20 images of 60 x 40 pixels, all but 0 and 1 with a box, in text files."""
    for kind in (images, labels):
        (folder / kind).mkdir(parents=True)
    for i in range(20):
        Image.new("RGB", (60, 40)).save(folder / images / f"{i}.png")
        line = f"{i % 2} 0.5 0.25 0.5 0.5\n"
        if i == 3:
            line = "1 0.25 0 0.75 0 0.75 0.5 0.4 0.5\n"  # a polygon
        if i:
            (folder / labels / f"{i}.txt").write_text(line if i > 1 else "", encoding="utf-8")
    (folder / "data.yaml").write_text("nc: 2\nnames: ['cat', \"dog\"]\n", encoding="utf-8")
    options = ["--dataset", "yolo", "--data-dir", str(folder), "--image-size", "60", "--no-augment"]
    return parse_arguments(options)


def check_boxes(splits: Any) -> None:
    for split in splits:
        for index, name in enumerate(split.names):
            _, boxes, labels = split[index]
            number = int(Path(name).stem)
            if number < 2:
                assert (labels == -1).all()
            else:
                assert boxes[0].tolist() == pytest.approx([15, 0, 45, 20])
                assert split.info["classes"][labels[0]] == ("cat", "dog")[number % 2]


def test_yolo_files_are_read(tmp_path: Path) -> None:
    splits = DATASETS["yolo"](make_yolo(tmp_path))
    assert [len(split) for split in splits] == [16, 2, 2]
    assert splits[0].info["notes"][-1] == "without a box: 2 of 20 images"
    check_boxes(splits)


@pytest.mark.parametrize("images_first", [True, False])
def test_splits_of_yolo_files(tmp_path: Path, images_first: bool) -> None:
    for name in ("train", "val"):
        folders = f"{name}/images", f"{name}/labels"
        if images_first:
            folders = f"images/{name}", f"labels/{name}"
        args = make_yolo(tmp_path, *folders)
    splits = DATASETS["yolo"](args)
    assert [len(split) for split in splits] == [20, 20, 20]
    check_boxes(splits)


@pytest.mark.parametrize(
    "text",
    [
        "names: [cat, dog]  # two",
        "path: x\nnames:\n  0: cat\n  1: dog\nnc: 2",
        "names:\n- cat\n- 'dog'\nval: y",
        "names: [\n  'cat',\n  'dog',\n]\nnc: 2",
        'names: {0: "cat", 1: dog}',
        "names:\n# two\n- cat\n\n- dog\nmy-key: 3\n",
        "names:\n  1: dog\n  0: cat\n",
    ],
)
def test_names_of_yolo_classes(text: str) -> None:
    assert parse_names(text) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("data.yaml", "names: {0: cat, 2: dog}", "lack class 1: they count from 0"),
        ("data.yaml", "names: {1: cat, 2: dog}", "lack class 0"),
        ("data.yaml", "names: ['', dog]", "class 0 has no name"),
        ("data.yaml", "names: cat", "not a list"),
        ("data.yaml", "names: [cat", r"cannot read .*data\.yaml"),
        ("classes.txt", "dog\ncat\n", r"data\.yaml and .*classes\.txt name other classes"),
        ("classes.txt", "cat\n\ndog\n", r"classes\.txt: class 1 has no name"),
    ],
)
def test_numbers_of_yolo_classes_must_be_clear(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    args = make_yolo(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\r\ndog\r\n\n", encoding="utf-8")
    DATASETS["yolo"](args)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        DATASETS["yolo"](args)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    args = make_yolo(tmp_path)
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "7.jpg")
    with pytest.raises(UserError, match=r"7\.png and .*7\.jpg have the same name, and so"):
        DATASETS["yolo"](args)
    args = make_voc(tmp_path / "voc")
    Image.new("RGB", (60, 40)).save(tmp_path / "voc" / "7.png")
    with pytest.raises(UserError, match=r"7\.jpg and .*7\.png have the same name, and so"):
        DATASETS["voc_xml"](args)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2 is none of 2"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("0 30 20 10 10", "is not in shares"),
        ("0 0.5 0.5 0.1", "is not class x y width height"),
        ("cat 0.5 0.5 0.1 0.1", "is not class x y width height"),
        ("0 1.2 0.5 0.1 0.1", "is not inside"),
    ],
)
def test_yolo_files_that_are_wrong_are_named(tmp_path: Path, line: str, message: str) -> None:
    args = make_yolo(tmp_path)
    (tmp_path / "labels" / "7.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"labels.7\.txt, row 2: .*{message}"):
        DATASETS["yolo"](args)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"has no data\.yaml"):
        DATASETS["yolo"](args)


def make_voc(folder: Path, change: Callable[[int, str], str] = lambda _, text: text) -> Namespace:
    """Write 20 images of 60 x 40 pixels, all but 0 and 1 with a box, in XML files."""
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for i in range(20):
        Image.new("RGB", (60, 40)).save(folder / "JPEGImages" / f"{i}.jpg")
        text = f"<object><name>{('cat', 'dog')[i % 2]}</name><difficult>0</difficult><bndbox>"
        text += "<xmin>16</xmin><ymin>1</ymin><xmax>45</xmax><ymax>20</ymax></bndbox></object>"
        size = "<size><width>60</width><height>40</height></size>"
        text = f"<annotation>{size}{text if i > 1 else ''}</annotation>"
        if i:
            path = folder / "Annotations" / f"{i}.xml"
            path.write_text(change(i, text), encoding="utf-8")
    options = ["--dataset", "voc_xml", "--data-dir", str(folder), "--image-size", "60"]
    return parse_arguments([*options, "--no-augment"])


def test_voc_files_are_read(tmp_path: Path) -> None:
    args = make_voc(tmp_path)
    splits = DATASETS["voc_xml"](args)
    assert [len(split) for split in splits] == [16, 2, 2]
    check_boxes(splits)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(map(str, range(12))), encoding="utf-8")
    (lists / "val.txt").write_text("12\n13 1\n14\n", encoding="utf-8")
    splits = DATASETS["voc_xml"](args)
    assert [len(split) for split in splits] == [12, 3, 3]
    check_boxes(splits)
    (lists / "val.txt").write_text("12\n30\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val\.txt, row 2: there is no image '30'"):
        DATASETS["voc_xml"](args)


@pytest.mark.parametrize(
    ("corner", "expected"),
    [
        ((1, 1, 60, 40), [15, 0, 45, 20]),  # pixels that count from 1
        ((0, 5, 60, 30), [16, 1, 45, 20]),  # borders
        ((0, 5, 50, 30), [16, 1, 45, 20]),
        ((3, 0, 59, 30), [16, 1, 46, 21]),  # pixels that count from 0
    ],
)
def test_voc_files_may_count_from_0(
    tmp_path: Path, corner: tuple[int, ...], expected: list[int]
) -> None:
    box = "".join(f"<{side}>{number}</{side}>" for side, number in zip(SIDES, corner, strict=True))
    further = f"<object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    args = make_voc(
        tmp_path, lambda i, text: text.replace("</annotation>", further) if i == 0 else text
    )
    path = tmp_path / "Annotations" / "0.xml"
    path.write_text(f"<annotation>{further}", encoding="utf-8")
    splits = DATASETS["voc_xml"](args)
    for split in splits:
        for index, name in enumerate(split.names):
            number = int(Path(name).stem)
            if number > 1:
                assert split[index][1][0].tolist() == expected
    assert any("count from 0" in note for note in splits[0].info["notes"]) == (corner[0] != 1)


def test_coco_counts_the_boxes_that_are_left_out(tmp_path: Path) -> None:
    for part, count in (("train2017", 12), ("val2017", 3)):
        args = make_images(tmp_path / part)
        content = json.loads((args.data_dir / "annotations.json").read_text(encoding="utf-8"))
        content["images"] = content["images"][:count]
        content["annotations"] = [
            {"image_id": 100 + i, "category_id": 9, "bbox": [0, 0, 9, 9], "iscrowd": i == 2}
            for i in range(count)
        ]
        path = tmp_path / "annotations" / f"instances_{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        for image in (args.data_dir / "images").iterdir():
            image.rename(args.data_dir / image.name)
    splits = DATASETS["coco"](parse_arguments(["--data-dir", str(tmp_path)]))
    assert [len(split) for split in splits] == [9, 3, 3]
    assert splits[2].names == [f"val2017/{i}.png" for i in range(3)]
    assert "left out: 2 x box of a crowd" in splits[0].info["notes"]


def test_pascal_voc_counts_the_boxes_that_are_left_out(tmp_path: Path) -> None:
    difficult = "<difficult>1</difficult>"
    for year, parts in (("2007", ("train", "val", "test")), ("2012", ("trainval",))):
        args = make_voc(
            tmp_path / "VOCdevkit" / f"VOC{year}",
            lambda i, text: text.replace("<difficult>0</difficult>", difficult) if i == 5 else text,
        )
        lists = args.data_dir / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        for part in parts:
            (lists / f"{part}.txt").write_text("4\n5\n6\n", encoding="utf-8")
    splits = DATASETS["voc"](parse_arguments(["--data-dir", str(tmp_path)]))
    assert [len(split) for split in splits] == [6, 3, 3]
    assert "left out: 4 x difficult box" in splits[0].info["notes"]
    assert splits[0].info["class_counts"]["train"]["cat"] == 4
    assert splits[0][0][1][0].tolist() != [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmin>16</xmin>", "", r"7\.xml, object 1 lacks"),
        ("<xmin>16", "<xmin>160", r"7\.xml, object 1: the box .* is no box"),
        ("</annotation>", "", r"7\.xml: "),
        ("<width>60", "<width>120", r"7\.jpg has 60 x 40 pixels, and 120 x 40"),
    ],
)
def test_voc_files_that_are_wrong_are_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    args = make_voc(tmp_path, lambda i, text: text.replace(old, new) if i == 7 else text)
    with pytest.raises(UserError, match=message):
        for split in DATASETS["voc_xml"](args):
            for index in range(len(split)):
                split[index]


def test_photographs_are_turned_as_their_exif_data_say(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (30, 10, 60, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise
    (tmp_path / "images").mkdir()
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "box"}],
    }
    for i in range(10):
        path = tmp_path / "images" / f"{i}.jpg"
        image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
        content["images"].append({"id": i, "file_name": path.name})
        entry = {"image_id": i, "category_id": 1, "bbox": [30, 10, 30, 20]}
        content["annotations"].append(entry)
    (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    options = ["--data-dir", str(tmp_path), "--image-size", "60", "--no-augment"]
    pixels, boxes, _ = DATASETS["coco_json"](parse_arguments(options))[0][0]
    x1, y1, x2, y2 = boxes[0].int().tolist()
    inside = pixels[:, y1:y2, x1:x2]
    assert inside.min() > 0.8
    assert pixels.sum().item() == pytest.approx(inside.sum().item(), rel=0.02)


def test_a_box_as_large_as_its_image_outlives_the_rounding_of_sizes(tmp_path: Path) -> None:
    Image.new("RGB", (61, 43)).save(tmp_path / "1.png")
    box = [0.0, 0.0, 61.0, 43.0]
    sample = make_sample(tmp_path, tmp_path / "1.png", (61, 43), [box], [0])
    for size in (83, 84, 85, 135):
        _, boxes, labels = ImageFiles([sample], size, {"classes": ["thing"]})[0]
        assert labels.tolist() == [0]
        assert boxes[0].tolist() == pytest.approx([0, 0, size, round(size * 43 / 61)], abs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_box(3, 50, 10, 30, 20), r"annotations\[3\].* box .*60 x 40"),
        (set_box(4, 15, 5, -5, 5), r"annotations\[4\].* is no box"),
        (set_box(4, 15, 5, 5), r"annotations\[4\]: bbox \[15, 5, 5\] is not the four numbers"),
        (set_box(5, 5, 5, "a", 5), r"annotations\[5\].*'a'"),
        (
            lambda content: content["images"][10].update(id=100),
            r"images\[10\]: the image id 100 is that of images\[0\]",
        ),
        (
            lambda content: content["images"][10].update(file_name="3.png"),
            r"images\[10\]: the image .*3\.png is that of images\[3\]",
        ),
        (
            lambda content: content["categories"][1].update(id=7),
            r"categories\[1\]: the category id 7 is that of categories\[0\]",
        ),
        (
            lambda content: content["annotations"][6].update(category_id=8),
            r"annotations\[6\]: no category .* 8",
        ),
        (
            lambda content: content["annotations"][7].update(image_id=3),
            r"annotations\[7\]: no image .* 3",
        ),
        (lambda content: content["annotations"][8].pop("bbox"), r"annotations\[8\].*bbox"),
        (
            lambda content: content["images"][2].update(file_name="none.png"),
            r"images\[2\].*none\.png",
        ),
        (lambda content: content.pop("categories"), r"annotations\.json.*categories"),
    ],
)
def test_own_files_that_are_wrong_are_named(
    tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS["coco_json"](make_images(tmp_path, change))


def test_broken_files_are_named(tmp_path: Path) -> None:
    args = make_images(tmp_path)
    path = tmp_path / "images" / "5.png"
    path.write_bytes(path.read_bytes()[:70])
    with pytest.raises(UserError, match=r"5\.png"):
        for split in DATASETS["coco_json"](args):
            for index in range(len(split)):
                split[index]
    (tmp_path / "annotations.json").write_text('{"images": [', encoding="utf-8")
    with pytest.raises(UserError, match=r"annotations\.json.*column 13"):
        DATASETS["coco_json"](args)
    (tmp_path / "annotations.json").unlink()
    with pytest.raises(UserError, match=r"has no annotations\.json"):
        DATASETS["coco_json"](args)


def test_names_in_figures_are_no_formulas() -> None:
    figure, grid = new_figure()
    found = {"scores": torch.tensor([0.5]), "labels": torch.tensor([0])}
    found["boxes"] = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    draw_detections(grid[0, 0], found, ["$5_$10"])
    figure.savefig(io.BytesIO())
