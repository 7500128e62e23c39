"""What is particular to image generation: the measure of its samples, its models, its noise and own images."""

import math
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from datasets import DATASETS, add_noise
from models import MODELS, VAE, FlowMatching
from runtime import UserError, start
from utils import FrechetDistance, build_model, get_metrics, get_objective, parse_arguments


def test_frechet_distance_agrees_with_its_formula() -> None:
    train, val, _ = DATASETS["digits"](parse_arguments([]))
    real, new = train.tensors[0][:150] / 127.5 - 1, val.tensors[0][:90] / 127.5 - 1
    metric = FrechetDistance(real)
    metric.update(new[:50], real[:100])
    metric.update(new[50:], real[100:])  # in two uneven batches

    features = [metric.inception(images).double() for images in (new, real)]
    (mean1, cov1), (mean2, cov2) = [(values.mean(dim=0), values.T.cov()) for values in features]
    eigenvalues, vectors = torch.linalg.eigh(cov1)
    root = vectors * eigenvalues.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    expected = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * shared
    assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-3)


def test_frechet_distance_tells_good_samples_from_bad() -> None:
    args = parse_arguments(["--device", "cpu"])
    splits = DATASETS["digits"](args)
    train, val, test = (split.tensors[0] / 127.5 - 1 for split in splits)
    with start(args) as runtime:
        metric = get_metrics(runtime, splits[0])["frechet_distance"]
    distances = []
    for samples in (test, val, val + 0.3 * torch.randn_like(val), train.mean(dim=0).expand(len(test), -1, -1, -1)):
        metric.reset()
        metric.update(samples, test)
        distances.append(metric.compute().item())
    assert distances[0] == pytest.approx(0, abs=1e-2)
    assert distances[0] < distances[1] < 3 < distances[2] < 64 < distances[3]


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
    torch.testing.assert_close(model(noise, labels, image.expand(5, 3, 8, 8), times), torch.zeros(5), atol=1e-6, rtol=0)
    stages = model(noise, labels)
    torch.testing.assert_close(stages[0], noise)
    torch.testing.assert_close(stages[1], noise + (image - noise) / 3)
    torch.testing.assert_close(stages[3], image.expand(5, 3, 8, 8))


def test_vae_bounds_the_likelihood() -> None:
    model = VAE(channels=1, image_size=8, num_classes=2, width=8)
    torch.nn.init.zeros_(model.encode.weight)  # all images are encoded as the same normal distribution
    mean, deviation = torch.full((32,), 0.5), torch.full((32,), 0.7)
    model.encode.bias.data = torch.cat((mean, 2 * deviation.log()))
    images, noise, labels = torch.rand(3, 1, 8, 8), torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 1])
    loss = model(noise, labels, images, torch.rand(3))
    decoded = model.sample(mean + deviation * noise.flatten(1)[:, :32], labels)
    likelihood = torch.distributions.Normal(decoded, math.exp(-1.5)).log_prob(images).flatten(1).mean(dim=1)
    encoded, prior = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0, 1)
    divergence = torch.distributions.kl_divergence(encoded, prior).sum() / 64
    torch.testing.assert_close(loss, divergence - likelihood)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 8), (1, 28), (3, 33)])
def test_every_model_takes_every_shape(name: str, channels: int, image_size: int) -> None:
    args = parse_arguments(["--model", name, "--width", "8", "--steps", "2"])
    dataset = DATASETS["digits"](args)[1]
    dataset.tensors = [torch.randint(256, (2, channels, image_size, image_size)).byte(), torch.tensor([3, 9])]
    batch = add_noise(dataset.tensors, torch.rand(2, 2 + channels * image_size**2))
    model, objective = build_model(args, dataset), get_objective(args)
    objective(model.train(), batch)[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    loss, samples, images = objective(model.eval(), batch)
    assert loss.ndim == 0
    assert samples.shape == images.shape == batch[0].shape
    assert -1 <= samples.min() <= samples.max() <= 1


def test_noise_is_normal_and_fixed_in_evaluation() -> None:
    first, second = (DATASETS["digits"](parse_arguments(["--seed", str(seed)]))[1].tensors for seed in (0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    _, _, noise, times = first
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert 0 <= times.min() < 0.1 < 0.9 < times.max() < 1


def test_images_are_mirrored_where_wanted() -> None:
    images = torch.arange(64).view(1, 1, 8, 8).repeat(2, 1, 1, 1).byte()
    numbers = torch.rand(2, 66)
    numbers[:, 1] = torch.tensor([0.4, 0.6])
    mirrored, labels, *_ = add_noise([images, torch.tensor([4, 5])], numbers, flip=True)
    assert torch.equal(mirrored[0], images[0].flip(2))
    assert torch.equal(mirrored[1], images[1])
    assert labels.tolist() == [4, 5]


def make_images(folder: Path, names: tuple[str, ...] = ("blue", "red"), number: int = 10) -> Namespace:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for width in range(20, 20 + number):
            Image.new("RGB", (width, 30), name or "green").save(folder / name / f"{width}.png")
    return parse_arguments(["--data-dir", str(folder), "--image-size", "16"])


def test_own_images_are_split_and_read(tmp_path: Path) -> None:
    train, val, test = DATASETS["image_folder"](make_images(tmp_path))
    assert [len(split) for split in (train, val, test)] == [16, 2, 2]
    image, label = train[0]
    assert image.shape == (3, 16, 16)
    assert train.info["classes"][label] == ("red" if image[0].float().mean() > image[2].float().mean() else "blue")


def test_own_images_need_no_classes_and_may_be_split(tmp_path: Path) -> None:
    for part, number in (("train", 5), ("val", 2)):
        args = make_images(tmp_path / part, ("",), number)
    args.data_dir = tmp_path
    with pytest.raises(UserError, match="only train, val of train, val and test"):
        DATASETS["image_folder"](args)
    make_images(tmp_path / "test", ("",), 3)
    splits = DATASETS["image_folder"](args)
    assert [len(split) for split in splits] == [5, 2, 3]
    assert splits[0].info["classes"] == [""]


def test_own_images_that_are_wrong_are_named(tmp_path: Path) -> None:
    def check(message: str) -> None:
        with pytest.raises(UserError, match=message):
            DATASETS["image_folder"](args)

    args = make_images(tmp_path / "few", number=4)
    check("few: 0 .* to validate")
    args.data_dir = tmp_path / "nowhere"
    check("nowhere: there are no images")
    args = make_images(tmp_path)
    for path, content in (("red/25.png", b"no image"), ("red/26.png", None), ("red/27.JPG", b"")):
        whole = (tmp_path / "blue" / "25.png").read_bytes()
        (tmp_path / path).write_bytes(whole[: len(whole) // 2] if content is None else content)
        check(path)
        (tmp_path / path).unlink()
    (tmp_path / "20.png").write_bytes((tmp_path / "red" / "20.png").read_bytes())
    check(r"20\.png: stands beside")
    for part, name in (("train", "red"), ("val", "blue"), ("test", "red")):
        make_images(tmp_path / "parts" / part, (name,), 3)
    args.data_dir = tmp_path / "parts"
    check("val/blue/20.png: .* class 'blue'")
