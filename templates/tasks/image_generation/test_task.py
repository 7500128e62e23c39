"""Tests of the task: the measure of new images, the models, their noise, and own images."""

import io
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from {{ cookiecutter.project_slug }} import datasets
from {{ cookiecutter.project_slug }}.datasets import DATASETS, add_noise
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS, VAE, FlowMatching, RandomFeatures
from {{ cookiecutter.project_slug }}.plots import draw_rows
from {{ cookiecutter.project_slug }}.utils import (
    get_metrics,
    get_model_arguments,
    get_objective,
    parse_arguments,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, empty for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "{{ cookiecutter.project_slug }}" / "images"


def get_distance() -> tuple[Any, list[Tensor], dict[str, Any]]:
    """Return the metric for the digits, the images of their splits from -1 to 1, and their info."""
    args = parse_arguments(["--device", "cpu"])
    splits = DATASETS["digits"](args)
    with start(args) as runtime:
        metric = get_metrics(args, runtime, splits[0].info)["frechet_distance"]
    return metric, [split.tensors[0] / 127.5 - 1 for split in splits], splits[0].info


def test_frechet_distance_agrees_with_its_formula() -> None:
    metric, (train, val, _), info = get_distance()
    real, new = train[:150], val[:90]
    metric.update(new[:50], real[:100])
    metric.update(new[50:], real[100:])  # in two uneven batches

    network = RandomFeatures(
        channels=1, image_size=8, mean=info["feature_mean"], std=info["feature_std"]
    )
    features = network(new).double(), network(real).double()
    mean1, mean2 = features[0].mean(dim=0), features[1].mean(dim=0)
    cov1, cov2 = features[0].T.cov(), features[1].T.cov()
    eigenvalues, vectors = torch.linalg.eigh(cov1)
    root = vectors * eigenvalues.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    expected = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * shared
    assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-3)


def test_frechet_distance_tells_good_samples_from_bad() -> None:
    metric, (train, val, test), _ = get_distance()
    noisy = val + 0.3 * torch.randn_like(val)
    mean = train.mean(dim=0).expand(len(test), -1, -1, -1)
    distances = []
    for samples in (test, val, noisy, mean):
        metric.reset()
        metric.update(samples, test)
        distances.append(metric.compute().item())
    assert distances[0] == pytest.approx(0, abs=1e-2)
    assert distances[0] < distances[1] < 3 < distances[2] < 64 < distances[3]


def test_features_have_mean_0_and_variance_1_over_the_training_images() -> None:
    _, (train, *_), info = get_distance()
    network = RandomFeatures(
        channels=1, image_size=8, mean=info["feature_mean"], std=info["feature_std"]
    )
    features = network(train)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(64), atol=0.1, rtol=0)
    torch.testing.assert_close(features.std(dim=0), torch.ones(64), atol=0.1, rtol=0)


class Straight(torch.nn.Module):
    """The velocities that lead everywhere to one image."""

    def __init__(self, image: Tensor):
        super().__init__()
        self.image = image

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        return (self.image - x) / (1 - times[:, None, None, None])


def test_flow_matching_follows_the_right_velocities() -> None:
    image, labels = torch.rand(3, 8, 8), torch.zeros(5, dtype=torch.long)
    model = FlowMatching(velocity=lambda: Straight(image), steps=3)
    noise, times = torch.randn(5, 3, 8, 8), torch.rand(5) * 0.9
    losses = model(noise, labels, image.expand(5, 3, 8, 8), times)
    torch.testing.assert_close(losses["loss"], torch.zeros(5), atol=1e-6, rtol=0)
    stages = model(noise, labels)
    torch.testing.assert_close(stages[0], noise)
    torch.testing.assert_close(stages[1], noise + (image - noise) / 3)
    torch.testing.assert_close(stages[3], image.expand(5, 3, 8, 8))


def test_vae_bounds_the_likelihood() -> None:
    model = VAE(channels=1, image_size=8, num_classes=2, width=8)
    torch.nn.init.zeros_(model.encode.weight)  # all images are encoded as one normal distribution
    mean, std = torch.full((32,), 0.5), torch.full((32,), 0.7)
    model.encode.bias.data = torch.cat((mean, 2 * std.log()))
    images, noise, labels = torch.rand(3, 1, 8, 8), torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 1])
    losses = model(noise, labels, images, torch.rand(3))
    decoded = model.sample(mean + std * noise.flatten(1)[:, :32], labels)
    normal = torch.distributions.Normal
    likelihood = normal(decoded, math.exp(-1.5)).log_prob(images).flatten(1).mean(dim=1)
    divergence = torch.distributions.kl_divergence(normal(mean, std), normal(0, 1)).sum() / 64
    torch.testing.assert_close(losses["reconstruction"], -likelihood)
    torch.testing.assert_close(losses["kl_divergence"], divergence.expand(3))
    torch.testing.assert_close(losses["loss"], divergence - likelihood)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 8), (1, 28), (3, 33)])
def test_every_model_takes_every_shape(name: str, channels: int, image_size: int) -> None:
    args = parse_arguments(["--model", name, "--width", "8", "--sampling-steps", "2"])
    info = {"channels": channels, "image_size": image_size, "classes": list("0123456789")}
    images = torch.randint(256, (2, channels, image_size, image_size)).byte()
    batch = add_noise((images, torch.tensor([3, 9])), torch.rand(2, 2 + images[0].numel()))
    model, objective = MODELS[name](**get_model_arguments(args, info)), get_objective(args, info)
    output = objective(model.train(), batch)
    assert not {"predictions", "targets"} & output.keys()  # no sampling in training
    output["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    output = objective(model.eval(), batch)
    samples, targets = output.pop("predictions"), output.pop("targets")
    assert all(value.ndim == 0 for value in output.values())
    assert samples.shape == targets.shape == images.shape
    assert -1 <= samples.min() <= samples.max() <= 1


def test_a_width_must_fit_the_norms() -> None:
    info = {"channels": 1, "image_size": 8, "classes": [""]}
    with pytest.raises(UserError, match="--width 12 is not a multiple of 8"):
        get_model_arguments(parse_arguments(["--width", "12"]), info)


def test_noise_is_normal_and_fixed_in_evaluation() -> None:
    first = DATASETS["digits"](parse_arguments(["--seed", "0"]))[1].tensors
    second = DATASETS["digits"](parse_arguments(["--seed", "1"]))[1].tensors
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    _, _, noise, times = first
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert 0 <= times.min() < 0.1 < 0.9 < times.max() < 1


def test_images_are_mirrored_if_wanted() -> None:
    images = torch.arange(64).view(1, 1, 8, 8).repeat(2, 1, 1, 1).byte()
    uniform = torch.rand(2, 66)
    uniform[:, 1] = torch.tensor([0.4, 0.6])
    mirrored, labels, *_ = add_noise((images, torch.tensor([4, 5])), uniform, flip=True)
    assert torch.equal(mirrored[0], images[0].flip(2))
    assert torch.equal(mirrored[1], images[1])
    assert labels.tolist() == [4, 5]


def make_images(
    folder: Path, names: tuple[str, ...] = ("blue", "red"), number: int = 10
) -> Namespace:
    """Write images of each color into a folder of its name; return the options that choose them."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for width in range(20, 20 + number):
            Image.new("RGB", (width, 30), name or "green").save(folder / name / f"{width}.png")
    return parse_arguments(["--data-dir", str(folder), "--image-size", "16"])


def test_own_images_are_split_and_read(tmp_path: Path) -> None:
    train, val, test = DATASETS["image_folder"](make_images(tmp_path))
    assert [len(split) for split in (train, val, test)] == [16, 2, 2]
    for index in range(len(train)):
        image, label = train[index]
        red = image[0].float().mean() > image[2].float().mean()
        assert image.shape == (3, 16, 16)
        assert train.info["classes"][label] == ("red" if red else "blue")


def test_own_images_are_read_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until one of them or datasets.py changes; a damaged one leaves no file."""
    args = make_images(tmp_path)
    first = DATASETS["image_folder"](args)[0]
    files = sorted(cache.glob("*.bin"))
    assert [path.stat().st_size for path in files].count(16 * 3 * 16 * 16) == 1
    again = DATASETS["image_folder"](args)[0]
    assert sorted(cache.glob("*.bin")) == files
    assert torch.equal(first.tensors[0], again.tensors[0])
    edited = tmp_path / "edited.py"
    edited.write_text(Path(datasets.__file__).read_text() + "# an edit\n")
    monkeypatch.setattr(datasets, "__file__", str(edited))
    DATASETS["image_folder"](args)
    assert len(list(cache.glob("*.bin"))) == 2 * len(files)
    for path in (tmp_path / "red").iterdir():
        Image.new("RGB", (20, 20), "yellow").save(path)
    changed = DATASETS["image_folder"](args)[0]
    reds = changed.tensors[1] == 1
    assert (changed.tensors[0][reds][:, 1] == 255).all()  # yellow has green
    before = sorted(cache.glob("*.bin"))
    (tmp_path / "blue" / "20.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"blue/20\.png"):
        DATASETS["image_folder"](args)
    assert sorted(cache.glob("*.bin")) == before
    assert not list(cache.glob("*.tmp.*"))


def test_own_images_need_no_classes_and_may_be_split(tmp_path: Path) -> None:
    for part, number in (("train", 20), ("test", 3)):
        args = make_images(tmp_path / part, ("",), number)
    args.data_dir = tmp_path
    splits = DATASETS["image_folder"](args)
    assert [len(split) for split in splits] == [18, 2, 3]
    assert "no validation split" in " ".join(splits[0].info["notes"])
    make_images(tmp_path / "valid", ("",), 4)
    splits = DATASETS["image_folder"](args)
    assert [len(split) for split in splits] == [20, 4, 3]
    assert splits[0].info["classes"] == [""]
    assert splits[1].keys is not None


def test_one_class_is_enough(tmp_path: Path) -> None:
    args = make_images(tmp_path, ("blue",), 20)
    assert DATASETS["image_folder"](args)[0].info["classes"] == ["blue"]
    for part in ("train", "val"):
        make_images(tmp_path / "all" / "animals" / part)
    args.data_dir = tmp_path / "all"
    with pytest.raises(UserError, match=r"animals holds splits: is --data-dir .*animals meant"):
        DATASETS["image_folder"](args)


def test_own_images_that_are_wrong_are_named(tmp_path: Path) -> None:
    def check(message: str) -> None:
        with pytest.raises(UserError, match=message):
            DATASETS["image_folder"](args)

    args = make_images(tmp_path / "few", number=2)
    check(r"few: 0 image\(s\) are too few for val")
    args.data_dir = tmp_path / "nowhere"
    check("nowhere")
    args = make_images(tmp_path)
    whole = (tmp_path / "blue" / "25.png").read_bytes()
    cut = whole[: len(whole) // 2]
    for path, content in (("red/25.png", b"no image"), ("red/26.png", cut), ("red/27.JPG", b"")):
        (tmp_path / path).write_bytes(content)
        check(path)
        (tmp_path / path).unlink()
    (tmp_path / "20.png").write_bytes(whole)
    check(r"20\.png is beside folders with images")
    for part, name in (("train", "red"), ("val", "blue"), ("test", "red")):
        make_images(tmp_path / "parts" / part, (name,), 3)
    args.data_dir = tmp_path / "parts"
    check("val/blue/20.png: the class 'blue' of the val split")


def test_names_in_figures_are_no_formulas() -> None:
    figure = draw_rows([torch.zeros(2, 1, 1, 8, 8)], ["new"], ["$5_$10", "cat"], "images")
    figure.savefig(io.BytesIO())
