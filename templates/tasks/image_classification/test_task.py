"""Tests of image classification: its loss and metrics, its models and own images."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from {{ cookiecutter.project_slug }}.datasets import DATASETS, augment
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.images import read_image
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


def make_images(folder: Path, labels: tuple[str, ...] = ("blue", "red"), number: int = 10) -> None:
    """Write images of a color, by default that of their class."""
    for label in labels:
        (folder / label).mkdir(parents=True)
        for width in range(20, 20 + number):
            color = label if label in ("blue", "red") else "green"
            Image.new("RGB", (width, 30), color).save(folder / label / f"{width}.png")


def read(folder: Path, *options: str) -> tuple[Any, Any, Any]:
    arguments = ["--data-dir", str(folder), "--image-size", "16", *options]
    return DATASETS["image_folder"](parse_arguments(arguments))


def check_refused(folder: Path, *words: str) -> None:
    """All splits of a folder are read, and the error must have the words."""
    with pytest.raises(UserError) as caught:
        for split in read(folder):
            for index in range(len(split)):
                split[index]
    for word in words:
        assert word in str(caught.value), caught.value


def test_own_images_are_split_and_read(tmp_path: Path) -> None:
    make_images(tmp_path)
    train, val, test = read(tmp_path)
    assert [len(split) for split in (train, val, test)] == [16, 2, 2]
    assert train.info["class_counts"]["val"] == {"blue": 1, "red": 1}
    image, label = train[0]
    assert image.shape == (3, 16, 16)
    is_red = bool(image[0].mean() > image[2].mean())
    assert train.info["classes"][label] == ("red" if is_red else "blue")
    make_images(tmp_path, ("zebra",))  # the others stay in their splits
    before, after = set(train.names), set(read(tmp_path)[0].names)
    assert before <= after


def test_a_start_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_images(tmp_path)
    monkeypatch.setattr(Image, "open", None)
    assert sum(map(len, read(tmp_path))) == 20


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Train", "dev_set", "testing")])
def test_splits_have_names_of_many_kinds(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, number in zip(names, (6, 5, 4), strict=True):
        make_images(tmp_path / name, number=number)
    splits = read(tmp_path)
    assert [len(split) for split in splits] == [12, 10, 8]
    assert splits[0].info["classes"] == ["blue", "red"]


def test_a_split_may_be_missing(tmp_path: Path) -> None:
    make_images(tmp_path / "train")
    check_refused(tmp_path, "train")
    make_images(tmp_path / "test")
    splits = read(tmp_path)
    assert [len(split) for split in splits] == [18, 2, 20]
    assert not set(splits[0].names) & set(splits[1].names)
    assert "no validation split" in " ".join(splits[0].info["notes"])
    (tmp_path / "test").rename(tmp_path / "val")
    Image.new("RGB", (9, 9)).save(tmp_path / "loose.png")
    splits = read(tmp_path)
    assert "left out beside the splits: loose.png" in splits[0].info["notes"]
    assert splits[2].names == splits[1].names
    assert "no test split" in " ".join(splits[0].info["notes"])


def test_labels_are_those_of_the_training_classes(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"  # as Linux and as macOS mostly write it
    make_images(tmp_path / "train", ("axolotl", composed, "red"), 3)
    make_images(tmp_path / "val", (apart, "red"), 3)
    _, val, _ = read(tmp_path)
    assert val.info["classes"] == ["axolotl", composed, "red"]
    assert [val[index][1] for index in range(6)] == [1, 1, 1, 2, 2, 2]
    assert "classes that are not in val and test: axolotl" in val.info["notes"]
    make_images(tmp_path / "val", ("zebra",), 3)
    check_refused(tmp_path, "zebra", "val split", "20.png")


def test_what_is_no_image_is_left_out_and_counted(tmp_path: Path) -> None:
    make_images(tmp_path / "elsewhere")
    folder = tmp_path / "images"
    folder.mkdir()
    for label in ("blue", "red"):
        (folder / label).symlink_to(tmp_path / "elsewhere" / label)
        (folder / label / "._20.png").write_bytes(b"Mac OS X")
        (folder / label / "IMG_1.HEIC").write_bytes(b"ftypheic")
    (folder / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (9, 9)).save(folder / ".ipynb_checkpoints" / "0.png")
    (folder / "bird").mkdir()
    splits = read(folder)
    assert sum(map(len, splits)) == 20
    assert splits[0].info["classes"] == ["blue", "red"]
    notes = " ".join(splits[0].info["notes"])
    for word in ("2 x .heic file", "2 x hidden file", "1 x hidden folder", "bird"):
        assert word in notes


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    check_refused(tmp_path / "nowhere", "nowhere")
    make_images(tmp_path / "all" / "animals")
    check_refused(tmp_path / "all", "two classes", str(tmp_path / "all" / "animals"))
    check_refused(tmp_path / "all" / "animals" / "red", "two classes")
    for name in ("train", "val"):
        make_images(tmp_path / "high" / "animals" / name)
    check_refused(tmp_path / "high", str(tmp_path / "high" / "animals"))
    Image.new("RGB", (9, 9)).save(tmp_path / "all" / "animals" / "0.png")
    check_refused(tmp_path / "all" / "animals", "0.png", "beside")
    make_images(tmp_path / "few", number=2)
    check_refused(tmp_path / "few", "too few")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_as_their_exif_data_say(tmp_path: Path, suffix: str) -> None:
    seen = Image.new("RGB", (40, 60))
    seen.paste("red", (0, 0, 40, 20))  # at the top
    seen.paste("blue", (0, 20, 15, 60))  # at the left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # numbers of Image.Transpose
    for orientation in range(1, 9):
        stored = seen
        if orientation > 1:
            stored = seen.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.{suffix}"
        stored.save(path, exif=exif, quality=95)
        image = read_image(path)
        assert image.size == (40, 60)
        for place, color in (((30, 8), (255, 0, 0)), ((5, 45), (0, 0, 255)), ((30, 45), (0, 0, 0))):
            pixel = torch.tensor(image.getpixel(place))
            assert (pixel - torch.tensor(color)).abs().max() < 40, (orientation, place)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_values_of_16_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    for value in (0, 8000, 50000, 65535):
        path = tmp_path / f"{value}.{suffix}"
        Image.new("I;16", (9, 9), value).save(path)
        assert read_image(path).getpixel((4, 4)) == (round(value / 257),) * 3
    big = Image.new("I;16", (9, 9), 50000).tobytes()[::-1]
    image = Image.frombytes("I;16B", (9, 9), big)
    image.save(tmp_path / "big.tif")
    assert read_image(tmp_path / "big.tif").getpixel((4, 4)) == (195, 195, 195)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    image.paste((200, 60, 40, 255), (8, 8, 24, 24))
    image.save(tmp_path / "rgba.png")
    image.save(tmp_path / "rgba.webp", lossless=True)
    gray = Image.new("LA", (32, 32), (90, 0))
    gray.save(tmp_path / "la.png")
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([200, 60, 40, 0, 255, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    Image.new("RGB", (32, 32), (0, 255, 0)).save(tmp_path / "rgb.png", transparency=(0, 255, 0))
    for path in tmp_path.iterdir():
        read_back = read_image(path)
        assert read_back.mode == "RGB"
        assert read_back.getpixel((2, 2)) == (255, 255, 255), path
    assert read_image(tmp_path / "rgba.png").getpixel((16, 16)) == (200, 60, 40)


def test_a_large_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    """The image that is made of it stays nearly the same."""
    small = torch.randint(0, 256, (3, 24, 32), generator=torch.Generator().manual_seed(0))
    photo = to_pil_image(small.byte()).resize((1024, 768), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    photo.save(tmp_path / "photo.jpg", quality=95)
    photo.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    photo.save(tmp_path / "photo.png")
    sizes = {}
    for path in sorted(tmp_path.iterdir()):
        for size in (0, 48, 97, 400):
            sizes[path.name, size] = read_image(path, size).size
    assert sizes["photo.jpg", 48] == (128, 96) and sizes["turned.jpg", 48] == (96, 128)
    assert sizes["photo.jpg", 97] == (512, 384)
    assert sizes["photo.jpg", 400] == sizes["photo.jpg", 0] == (1024, 768)
    assert sizes["photo.png", 48] == (1024, 768)
    resized = []
    for size in (0, 48):
        image = read_image(tmp_path / "photo.jpg", size).resize((64, 48), Image.Resampling.BILINEAR)
        resized.append(pil_to_tensor(image).float())
    assert (resized[0] - resized[1]).abs().max() < 8


def test_other_modes_are_read_or_refused(tmp_path: Path) -> None:
    image = Image.new("RGB", (9, 9), (255, 255, 255))
    for mode, name in (("1", "bit.png"), ("L", "l.png"), ("P", "p.gif"), ("CMYK", "cmyk.jpg")):
        image.convert(mode).save(tmp_path / name)
        histogram = read_image(tmp_path / name).convert("L").histogram()
        assert sum(histogram[250:]) == 81, name
    for mode, word in (("F", "floating-point"), ("I", "integers")):
        Image.new(mode, (9, 9), 1).save(tmp_path / "32.tif")
        with pytest.raises(UserError, match=rf"32\.tif has {word}.* of 32 bits"):
            read_image(tmp_path / "32.tif")


def damage(data: bytes, number: int) -> bytes:
    """Return a file with a changed byte, or without its end."""
    place = number * 7919 % len(data)
    changed = bytes([data[place] ^ (1 + number % 255)])
    return data[:place] if number % 9 == 0 else data[:place] + changed + data[place + 1 :]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    image = Image.effect_noise((40, 30), 60)
    for suffix in ("png", "jpg", "tif", "bmp", "webp", "gif"):
        image.save(tmp_path / f"0.{suffix}")
        data = (tmp_path / f"0.{suffix}").read_bytes()
        for number in range(60):
            path = tmp_path / f"damaged.{suffix}"
            path.write_bytes(damage(data, number))
            try:
                assert read_image(path).mode == "RGB"
            except UserError as error:
                assert str(path) in str(error) and "\n" not in str(error)
    Image.new("1", (19000, 10000)).save(tmp_path / "map.png")  # 24 kB
    with pytest.raises(UserError, match=r"map\.png"):
        read_image(tmp_path / "map.png")


def test_a_damaged_image_ends_the_training_with_its_name(tmp_path: Path) -> None:
    make_images(tmp_path)
    for path in (tmp_path / "red").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    check_refused(tmp_path, "red", ".png")
