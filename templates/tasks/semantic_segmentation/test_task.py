"""Tests of semantic segmentation: ignored pixels, augmentation of images and masks, own files."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from {{ cookiecutter.project_slug }}.datasets import DATASETS, IGNORED, augment
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS
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
    for name in ("train", "val", "test"):
        args = make_files(tmp_path / name)
    (tmp_path / "classes.txt").write_text("water\nfire\n", encoding="utf-8")
    args.data_dir = tmp_path
    splits = DATASETS["mask_folder"](args)
    assert [len(split) for split in splits] == [10, 10, 10]
    for path in (tmp_path / "test" / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"test.images holds no images"):
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
        (rewrite("masks/3.png", "RGB", (43, 30), 1), r"masks.3\.png has the mode RGB"),
        (cut("masks/3.png"), r"masks.3\.png"),
        (cut("images/3.jpg"), r"images.3\.jpg"),
        (lambda folder: (folder / "images").rename(folder / "pictures"), "images holds no images"),
        (blacken, "label 1, not 255"),
        (lambda folder: (folder / "classes.txt").unlink(), r"classes\.txt"),
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
