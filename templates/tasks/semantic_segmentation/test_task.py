"""Tests of semantic segmentation: ignored pixels, augmentation of images and masks, own files."""

import io
import shutil
import struct
import zlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from {{ cookiecutter.project_slug }}.datasets import DATASETS, IGNORED, augment
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.masks import MaskReader
from {{ cookiecutter.project_slug }}.engine.report import new_figure
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.plots import add_legend, get_colors
from {{ cookiecutter.project_slug }}.utils import get_metrics, get_objective, parse_arguments


def test_loss_and_metrics_agree_with_a_count_by_hand() -> None:
    args = parse_arguments(["--device", "cpu"])
    info = {"classes": ["a", "b", "c", "d", "e"]}
    masks = torch.tensor(
        [
            [[0, 0, 1], [1, 2, IGNORED]],
            [[0, 0, 0], [0, IGNORED, IGNORED]],
            [[IGNORED] * 3] * 2,
        ]
    )
    answers = torch.tensor([[[0, 1, 1], [1, 0, 4]], [[0, 0, 0], [2, 3, 3]], [[3, 3, 3], [3, 3, 3]]])
    logits = 4 * torch.nn.functional.one_hot(answers, 5).movedim(3, 1).float()
    model = torch.nn.Identity()
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, info)
        output = get_objective(args, info)(model.eval(), (logits, masks))
        for part in (slice(0, 2), slice(2, 3)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    assert values["pixel_accuracy"].item() == pytest.approx(6 / 9)
    assert values["class_iou"].tolist() == pytest.approx([4 / 7, 2 / 3, 0, 0, 0])
    assert values["mean_iou"].item() == pytest.approx((4 / 7 + 2 / 3 + 0) / 3)  # of 3 that occur
    right = torch.tensor(4.0).exp().add(4).log().item() - 4
    wrong = right + 4
    samples = [(3 * right + 2 * wrong) / 5, (3 * right + wrong) / 4, 0]
    assert output["loss"].item() == pytest.approx(sum(samples) / 3)
    accuracy, pixels = output["pixel_accuracy"]
    assert (accuracy.item(), pixels.item()) == (pytest.approx(6 / 9), 9)
    training = get_objective(args, info)(model.train(), (logits[2:], masks[2:]))  # no pixel counts
    assert training["loss"].item() == 0
    assert training["pixel_accuracy"][0].item() == 0
    assert "predictions" not in training


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 40, 40), (1, 33, 50)])
def test_every_model_takes_every_shape(name: str, channels: int, height: int, width: int) -> None:
    model = MODELS[name](channels=channels, num_classes=5)
    logits = model(torch.randn(2, channels, height, width))
    logits.sum().backward()
    assert logits.shape == (2, 5, height, width)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_augmentation_moves_images_and_masks_alike() -> None:
    masks = torch.randint(5, (1, 12, 16)).expand(4, 12, 16)
    images = masks.unsqueeze(1).float().expand(4, 3, 12, 16)
    noise = torch.rand(4, 3)
    noise[1] = noise[0]
    moved, moved_masks = augment((images, masks), noise)
    assert torch.equal(moved[0], moved[1])
    assert (moved_masks != IGNORED).float().mean() > 0.3
    seen = moved[:, 0].long().where(moved_masks != IGNORED, IGNORED)
    assert torch.equal(seen, moved_masks)
    still = augment((images, masks), torch.full((4, 3), 0.5))
    assert torch.equal(still[0], images)
    assert torch.equal(still[1], masks)


def make_files(folder: Path) -> Namespace:
    """Draw ten images that are blue at the left, class 0, and red at the right, class 1."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "classes.txt").write_text("water\nfire\n", encoding="utf-8")
    for number in range(10):
        size = (40 + number, 30)
        right = (20, 0, *size)
        image = Image.new("RGB", size, (0, 0, 255))
        image.paste((255, 0, 0), right)
        image.save(folder / "images" / f"{number}.jpg", quality=100)
        mask = Image.new("L", size, 0)
        mask.paste(1, right)
        mask.save(folder / "masks" / f"{number}.png")
    options = ["--dataset", "mask_folder", "--data-dir", str(folder), "--image-size", "32"]
    return parse_arguments(options)


def check_files(split: Any) -> None:
    for index in range(len(split)):
        image, mask = split[index]
        assert image.shape == (3, 32, 32)
        assert mask.shape == (32, 32)
        counted = mask != IGNORED
        fire = image[0] > image[2]
        assert counted.float().mean() > 0.1
        assert (fire == (mask == 1))[counted].float().mean() > 0.9


def test_own_files_are_split_and_read(tmp_path: Path) -> None:
    splits = DATASETS["mask_folder"](make_files(tmp_path))
    assert [len(split) for split in splits] == [8, 1, 1]
    for split in splits:
        check_files(split)


def test_splits_of_own_files_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        args = make_files(tmp_path / name)
    (tmp_path / "classes.txt").write_text("water\nfire\n", encoding="utf-8")
    args.data_dir = tmp_path
    for path in (tmp_path / "test" / "masks").iterdir():  # of background alone, as may be
        Image.open(path).point([0] * 256).save(path)
    splits = DATASETS["mask_folder"](args)
    assert [len(split) for split in splits] == [10, 10, 10]
    shutil.rmtree(tmp_path / "valid")
    splits = DATASETS["mask_folder"](args)
    assert [len(split) for split in splits] == [9, 1, 10]
    assert "no validation split" in " ".join(splits[0].info["notes"])
    for path in (tmp_path / "test" / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"test.images holds no images"):
        DATASETS["mask_folder"](args)


def test_splits_may_be_in_the_folders_of_images_and_masks(tmp_path: Path) -> None:
    args = make_files(tmp_path)
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        for number in range(10):
            part = tmp_path / kind / ("train", "val", "test")[number % 3]
            part.mkdir(exist_ok=True)
            (tmp_path / kind / f"{number}.{suffix}").rename(part / f"{number}.{suffix}")
    splits = DATASETS["mask_folder"](args)
    assert splits[1].names == ["images/val/1.jpg", "images/val/4.jpg", "images/val/7.jpg"]
    for split in splits:
        check_files(split)
    (tmp_path / "masks" / "val").rename(tmp_path / "masks" / "more")
    with pytest.raises(UserError, match=r"images.val"):
        DATASETS["mask_folder"](args)


def test_masks_have_other_suffixes_and_names(tmp_path: Path) -> None:
    args = make_files(tmp_path)
    for number, name in enumerate(("0.tif", "1_mask.gif", "2.bmp", "3_label.png")):
        path = tmp_path / "masks" / f"{number}.png"
        Image.open(path).save(tmp_path / "masks" / name)
        path.unlink()
    (tmp_path / "masks" / "._4.png").write_bytes(b"Mac OS X")
    (tmp_path / "masks" / "other.png").write_bytes((tmp_path / "masks" / "5.png").read_bytes())
    splits = DATASETS["mask_folder"](args)
    for split in splits:
        check_files(split)
    notes = " ".join(splits[0].info["notes"])
    assert "1 x hidden file" in notes and "1 x mask without an image" in notes


def save_gray(path: Path, mask: Image.Image, bits: int) -> None:
    """Write a gray PNG of 1, 2 or 4 bits, which Pillow itself does not write."""
    rows = b""
    for y in range(mask.height):
        bit_text = "".join(f"{mask.getpixel((x, y)):0{bits}b}" for x in range(mask.width))
        bit_text += "0" * (-len(bit_text) % 8)
        rows += b"\0" + bytes(int(bit_text[i : i + 8], 2) for i in range(0, len(bit_text), 8))
    header = struct.pack(">IIBBBBB", *mask.size, bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_masks_have_as_many_bits_as_they_need(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "mask.png"
    highest = min(2**bits - 1, 15)
    mask = Image.new("L", (11, 5), 0)
    mask.paste(highest, (3, 1, 9, 4))
    if bits == 16:
        Image.fromarray(numpy.asarray(mask).astype(numpy.uint16)).save(path)
    elif bits == 8:
        mask.convert("RGB").save(path)  # equal channels
    else:
        save_gray(path, mask, bits)
    reader = MaskReader([str(number) for number in range(highest + 1)], {}, ignored=255)
    assert reader.read(path).tobytes() == mask.tobytes()
    Image.new("I", (9, 9), -1).save(tmp_path / "negative.tif")
    with pytest.raises(UserError, match=r"negative\.tif, row 0, column 0: label -1"):
        reader.read(tmp_path / "negative.tif")


def test_another_label_may_be_ignored(tmp_path: Path) -> None:
    args = make_files(tmp_path)
    args.ignore_index = 1
    path = tmp_path / "masks" / "3.png"
    mask = Image.open(path)
    mask.paste(2, (0, 0, 20, 30))
    mask.save(path)
    (tmp_path / "classes.txt").write_text("water\nfire\nair\n", encoding="utf-8")
    splits = DATASETS["mask_folder"](args)
    values = {int(label) for split in splits for _, mask in split for label in mask.unique()}
    assert values == {0, 2, IGNORED}
    assert "10 of 10 masks have pixels that are ignored" in splits[0].info["notes"]
    assert "none of 10 masks has the class fire" in splits[0].info["notes"]


def test_a_start_reads_few_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = make_files(tmp_path)
    seen: list[str] = []
    read = MaskReader.read

    def note(reader: MaskReader, path: Path) -> Image.Image:
        seen.append(path.name)
        return read(reader, path)

    monkeypatch.setattr(MaskReader, "read", note)
    monkeypatch.setattr("{{ cookiecutter.project_slug }}.engine.annotations.CHECKED", 3)
    DATASETS["mask_folder"](args)
    assert len(seen) == 3
    first = list(seen)
    for path in (tmp_path / "masks").iterdir():
        if path.name in first:  # of background alone: more are read
            Image.open(path).point([0] * 256).save(path)
    DATASETS["mask_folder"](args)
    assert len(seen) == 9 and sorted(seen[3:6]) == sorted(first)


@pytest.mark.parametrize("text", ["sea 0 0 255\nfire 255 0 0", "0 0 255 sea\n255,0,0,fire"])
def test_masks_in_colors(tmp_path: Path, text: str) -> None:
    args = make_files(tmp_path)
    void = "\nignored 0 0 0" if text.startswith("sea") else "\n0 0 0 ignored"
    (tmp_path / "classes.txt").write_text(text + void, encoding="utf-8")
    for path in (tmp_path / "masks").iterdir():
        mask: Image.Image = Image.open(path)
        mask.putpalette([0, 0, 255, 255, 0, 0])  # as in Pascal VOC
        if path.stem in "012345":
            mask = mask.convert("RGB")
            mask.paste((0, 0, 0), (0, 0, 5, 30))
        mask.save(path)
    splits = DATASETS["mask_folder"](args)
    assert splits[0].info["classes"] == ["sea", "fire"]
    for split in splits:
        check_files(split)
    spoiled = Image.open(tmp_path / "masks" / "3.png").convert("RGB")
    spoiled.paste((128, 64, 0), (0, 0, 2, 3))
    spoiled.save(tmp_path / "masks" / "3.png")
    with pytest.raises(UserError, match=r"masks.3\.png: 6 pixels have the color 128 64 0"):
        DATASETS["mask_folder"](args)


def test_photographs_are_turned_as_their_exif_data_say(tmp_path: Path) -> None:
    args = make_files(tmp_path)
    path = tmp_path / "images" / "3.jpg"
    image = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise
    image.save(path, exif=exif, quality=100)
    for split in DATASETS["mask_folder"](args):
        check_files(split)


def rewrite(name: str, mode: str, size: tuple[int, int], color: int) -> Callable[[Path], Any]:
    return lambda folder: Image.new(mode, size, color).save(folder / name)


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:60])


def write_classes(text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "classes.txt").write_text(text, encoding="utf-8")


def blacken(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        Image.open(path).point([0, 255] * 128).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "masks" / "3.png").unlink(), r"masks.3\.png is missing"),
        (
            rewrite("masks/3.png", "L", (43, 30), 7),
            r"masks.3\.png, row 0, column 0: label 7 is none of the 2 classes",
        ),
        (
            rewrite("masks/3.png", "L", (9, 8), 1),
            r"masks.3\.png has 9 x 8 pixels, its image 43 x 30",
        ),
        (rewrite("masks/3.png", "RGB", (43, 30), 1), r"masks.3\.png has colors \(mode RGB\)"),
        (rewrite("masks/3.png", "L", (30, 43), 1), r"masks.3\.png has 30 x 43 .*EXIF"),
        (rewrite("masks/3.tif", "L", (43, 30), 1), r"3\.jpg has more than one mask"),
        (
            lambda folder: (folder / "images" / "3.webp").write_bytes(b""),
            r"3\.webp and .*3\.jpg have the same mask",
        ),
        (cut("masks/3.png"), r"masks.3\.png"),
        (cut("images/3.jpg"), r"images.3\.jpg"),
        (lambda folder: (folder / "images").rename(folder / "pictures"), "holds no images"),
        (blacken, "label 1, not 255"),
        (lambda folder: (folder / "classes.txt").unlink(), r"classes\.txt"),
        (write_classes("water 0 0 255\nfire\n"), "'fire' has no color"),
        (write_classes("water\nfire 9 9 256\nair 1 1 1"), "'water' has no color"),
        (write_classes("water\nwater\n"), "'water' is there twice"),
        (write_classes("water\n\nfire\n"), r"classes\.txt, row 2 is empty: label 1 would"),
        (write_classes("water\n"), r"1 class\(es\): 2 to 255 are needed"),
        (lambda folder: (folder / "classes.txt").write_bytes(b"caf\xe9\n"), r"classes\.txt"),
    ],
)
def test_own_files_that_are_wrong_are_named(
    tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    args = make_files(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        DATASETS["mask_folder"](args)


def test_names_in_figures_are_no_formulas() -> None:
    figure, _ = new_figure()
    add_legend(figure, [0.5, 0.5], ["ground", "$5_$10"], get_colors(2))
    figure.savefig(io.BytesIO())
