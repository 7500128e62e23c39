"""Tests of image classification: its loss and metrics, its models and own images."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from {{ cookiecutter.project_slug }}.datasets import DATASETS, augment
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.utils import get_metrics, get_objective, parse_arguments


class Constant(torch.nn.Module):
    """Always gives the same logits."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def test_metrics_agree_with_a_count_by_hand() -> None:
    args = parse_arguments(["--device", "cpu"])
    labels = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    logits = 4 * torch.nn.functional.one_hot(torch.tensor([3, 1, 4, 0, 0, 9, 0]), 10).float()
    batch = torch.zeros(7, 1, 8, 8), labels
    with start(args) as runtime:
        info = {"classes": list("0123456789")}
        metrics = get_metrics(args, runtime, info)
        output = get_objective(args, info)(Constant(logits).eval(), batch)
        for part in (slice(0, 4), slice(4, 7)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    assert values["accuracy"].item() == pytest.approx(4 / 7)
    assert values["confusion_matrix"][1].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    found = [1, 2 / 3, 0, 1, 1, 0]  # F1 of 3, 1, 2, 4, 9 and 5; of 0, which is predicted alone: 0
    assert values["macro_f1"].item() == pytest.approx(sum(found) / 7)


def test_balanced_classes_weigh_alike() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    info: dict[str, Any] = {"classes": ["often", "rare"]}
    info["class_counts"] = {"train": {"often": 3, "rare": 1}}
    options = ["--class-weights", "balanced", "--label-smoothing", "0"]
    objective = get_objective(parse_arguments(options), info)
    loss = objective(Constant(logits).train(), (torch.zeros(4, 1, 8, 8), labels))["loss"]
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert loss.item() == pytest.approx(((each[:3].mean() + each[3]) / 2).item())
    plain = get_objective(parse_arguments(["--label-smoothing", "0"]), info)
    loss = plain(Constant(logits).train(), (torch.zeros(4, 1, 8, 8), labels))["loss"]
    assert loss.item() == pytest.approx(each.mean().item())
    info["class_counts"]["train"]["rare"] = 0
    with pytest.raises(UserError, match="no training sample of 'rare'"):
        get_objective(parse_arguments(options), info)


def test_digits_count_their_classes() -> None:
    train = DATASETS["digits"](parse_arguments([]))[0]
    counts = train.info["class_counts"]["train"]
    assert list(counts) == train.info["classes"]
    assert list(counts.values()) == train.tensors[1].bincount().tolist()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 8), (1, 28), (3, 32), (1, 72)])
def test_every_model_takes_every_shape(name: str, channels: int, image_size: int) -> None:
    model = MODELS[name](channels=channels, image_size=image_size, num_classes=5)
    logits = model(torch.randn(2, channels, image_size, image_size))
    logits.sum().backward()
    assert logits.shape == (2, 5)


def test_augmentation_varies_each_image_in_its_own_way() -> None:
    image = torch.rand(1, 1, 8, 8).expand(4, 1, 8, 8)
    noise = torch.rand(4, 8)
    noise[1] = noise[0]
    varied, _ = augment((image, torch.zeros(4)), noise, flip=True)
    assert torch.equal(varied[0], varied[1])
    assert not torch.equal(varied[1], varied[2])
    still, _ = augment((image, torch.zeros(4)), torch.full((4, 8), 0.5), flip=False)
    torch.testing.assert_close(still, image)


def make_images(folder: Path) -> Namespace:
    for label, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (20 + number, 30), colour).save(folder / label / f"{number}.png")
    return parse_arguments(["--data-dir", str(folder), "--image-size", "16"])


def test_own_images_are_split_and_read(tmp_path: Path) -> None:
    train, val, test = DATASETS["image_folder"](make_images(tmp_path))
    assert [len(split) for split in (train, val, test)] == [16, 2, 2]
    image, label = train[0]
    assert image.shape == (3, 16, 16)
    is_red = bool(image[0].mean() > image[2].mean())
    assert train.info["classes"][label] == ("red" if is_red else "blue")


def test_splits_are_there_all_or_none(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val", "test"), 1):
        args = make_images(tmp_path / part)
        args.data_dir = tmp_path
        if number < 3:
            with pytest.raises(UserError, match=r"only train.* of train, val and test"):
                DATASETS["image_folder"](args)
    assert [len(split) for split in DATASETS["image_folder"](args)] == [20, 20, 20]


def test_own_images_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        DATASETS["image_folder"](parse_arguments(["--data-dir", str(tmp_path / "nowhere")]))
    args = make_images(tmp_path)
    args.data_dir = tmp_path / "red"
    with pytest.raises(UserError, match="a folder of images for each of two classes"):
        DATASETS["image_folder"](args)
    args.data_dir = tmp_path
    for path in (tmp_path / "red").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"red/\d\.png"):
        for split in DATASETS["image_folder"](args):
            for index in range(len(split)):
                split[index]
