"""What is particular to semantic segmentation: ignored pixels, masks that go with their images, and own files."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datasets import DATASETS, IGNORED, augment
from models import MODELS
from runtime import UserError, start
from utils import get_metrics, get_objective, parse_arguments


def test_loss_and_metrics_agree_with_a_count_by_hand() -> None:
    args = parse_arguments(["--device", "cpu"])
    dataset = DATASETS["shapes"](args)[1]
    masks = torch.tensor([[[0, 0, 1], [1, 2, IGNORED]], [[0, 0, 0], [0, IGNORED, IGNORED]], [[IGNORED] * 3] * 2])
    answers = torch.tensor([[[0, 1, 1], [1, 0, 4]], [[0, 0, 0], [2, 3, 3]], [[3, 3, 3], [3, 3, 3]]])
    logits = 4 * torch.nn.functional.one_hot(answers, 5).movedim(3, 1).float()
    with start(args) as runtime:
        metrics = get_metrics(runtime, dataset)
        loss, predictions, targets = get_objective(args)(torch.nn.Identity(), (logits, masks))
        for part in (slice(0, 2), slice(2, 3)):  # in two uneven batches
            metrics.update(predictions[part], targets[part])
        values = metrics.compute()
    assert values["pixel_accuracy"].item() == pytest.approx(6 / 9)
    assert values["class_iou"].tolist() == pytest.approx([4 / 7, 2 / 3, 0, 0, 0])
    assert values["mean_iou"].item() == pytest.approx((4 / 7 + 2 / 3 + 0) / 3)  # over the classes that occur
    right = torch.tensor(4.0).exp().add(4).log().item() - 4
    wrong = right + 4
    assert loss.item() == pytest.approx(((3 * right + 2 * wrong) / 5 + (3 * right + wrong) / 4 + 0) / 3)


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
    numbers = torch.rand(4, 3)
    numbers[1] = numbers[0]
    moved, moved_masks = augment([images, masks], numbers)
    assert torch.equal(moved[0], moved[1])
    assert (moved_masks != IGNORED).float().mean() > 0.3
    assert torch.equal(moved[:, 0].long().where(moved_masks != IGNORED, IGNORED), moved_masks)
    still = augment([images, masks], torch.full((4, 3), 0.5))
    assert torch.equal(still[0], images)
    assert torch.equal(still[1], masks)


def make_files(folder: Path) -> Namespace:
    """Draw ten images that are blue at the left, class 0, and red at the right, class 1."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "classes.txt").write_text("water\nfire\n", encoding="utf-8")
    for number in range(10):
        image, mask = Image.new("RGB", (40 + number, 30), (0, 0, 255)), Image.new("L", (40 + number, 30), 0)
        image.paste((255, 0, 0), (20, 0, 40 + number, 30))
        mask.paste(1, (20, 0, 40 + number, 30))
        image.save(folder / "images" / f"{number}.jpg", quality=100)
        mask.save(folder / "masks" / f"{number}.png")
    return parse_arguments(["--dataset", "mask_folder", "--data-dir", str(folder), "--image-size", "32"])


def test_own_files_are_split_and_read(tmp_path: Path) -> None:
    splits = DATASETS["mask_folder"](make_files(tmp_path))
    assert [len(split) for split in splits] == [8, 1, 1]
    for split in splits:
        for image, mask in (split[index] for index in range(len(split))):
            assert image.shape == (3, 32, 32)
            assert mask.shape == (32, 32)
            counted, fire = mask != IGNORED, image[0] > image[2]
            assert counted.float().mean() > 0.1
            assert (fire == (mask == 1))[counted].float().mean() > 0.9


def rewrite(name: str, mode: str, size: tuple[int, int], color: int) -> Callable[[Path], Any]:
    return lambda folder: Image.new(mode, size, color).save(folder / name)


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:60])


def blacken(folder: Path) -> None:
    for number in range(10):
        Image.open(folder / "masks" / f"{number}.png").point([0, 255] * 128).save(folder / "masks" / f"{number}.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "masks" / "3.png").unlink(), r"masks.3\.png is missing"),
        (rewrite("masks/3.png", "L", (43, 30), 7), r"masks.3\.png, row 0, column 0: label 7 is none of the 2 classes"),
        (rewrite("masks/3.png", "L", (9, 8), 1), r"masks.3\.png has 9 x 8 pixels, its image 43 x 30"),
        (rewrite("masks/3.png", "RGB", (43, 30), 1), r"masks.3\.png has the mode RGB"),
        (cut("masks/3.png"), r"masks.3\.png"),
        (cut("images/3.jpg"), r"images.3\.jpg"),
        (lambda folder: (folder / "images").rename(folder / "pictures"), "images holds no images"),
        (blacken, "label 1, not 255"),
        (lambda folder: (folder / "classes.txt").unlink(), r"classes\.txt"),
        (lambda folder: (folder / "classes.txt").write_bytes(b"caf\xe9\n"), r"classes\.txt"),
    ],
)
def test_own_files_that_are_wrong_are_named(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    args = make_files(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        DATASETS["mask_folder"](args)
