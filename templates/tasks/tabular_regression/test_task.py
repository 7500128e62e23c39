"""Tests of tabular regression: its loss and metrics, its models and own files."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS, Categories
from {{ cookiecutter.project_slug }}.utils import (
    get_directions,
    get_metrics,
    get_model_arguments,
    get_objective,
    parse_arguments,
)

TABLE = "size,colour,price\n1,red,10\n2,blue,20\n3,red,60\n"


class Constant(torch.nn.Module):
    """Always gives the same values."""

    def __init__(self, values: torch.Tensor):
        super().__init__()
        self.values = values

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return self.values.unsqueeze(1)


def make_files(
    folder: Path, *options: str, train: str = TABLE, val: str = TABLE, test: str = TABLE
) -> Namespace:
    for name, text in (("train", train), ("val", val), ("test", test)):
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    own = ["--device", "cpu", "--data-dir", str(folder), "--target", "price"]
    return parse_arguments([*own, *options])


def test_loss_and_metrics_agree_with_a_count_by_hand(tmp_path: Path) -> None:
    args = make_files(tmp_path)
    train, val, _ = DATASETS["csv"](args)
    mean, deviation = 30, (1400 / 3) ** 0.5  # of the prices 10, 20 and 60
    predicted = torch.tensor([20.0, 20.0, 50.0])
    model = Constant((predicted - mean) / deviation).eval()
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, train.info)
        output = get_objective(args, {})(model, val.tensors)
        for part in (slice(0, 2), slice(2, 3)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    assert output["loss"].item() == pytest.approx(200 / 1400)
    assert values["mae"].item() == pytest.approx(20 / 3)
    assert values["rmse"].item() == pytest.approx((200 / 3) ** 0.5)
    assert values["r2"].item() == pytest.approx(1 - 200 / 1400)


def test_every_metric_can_choose_the_best_epoch() -> None:
    args = parse_arguments(["--device", "cpu"])
    with start(args) as runtime:
        directions = get_directions(get_metrics(args, runtime, {"deviation": 2.0}))
    assert directions == {"loss": False, "r2": True, "mae": False, "rmse": False}


def test_training_returns_nothing_for_metrics() -> None:
    batch = torch.zeros(2, 1), torch.zeros(2, 0), torch.ones(2)
    output = get_objective(parse_arguments([]), {})(Constant(torch.zeros(2)).train(), batch)
    assert not output.keys() & {"predictions", "targets"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("numbers", "categories"), [(3, [2, 5]), (3, []), (0, [4])])
def test_every_model_takes_numbers_and_categories(
    name: str, numbers: int, categories: list[int]
) -> None:
    model = MODELS[name](numbers=numbers, categories=categories, dropout=0.1)
    rows = [[size - 1 for size in categories], [0 for _ in categories]]
    values = model(torch.randn(2, numbers), torch.tensor(rows, dtype=torch.int64))
    values.sum().backward()
    assert values.shape == (2, 1)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_each_category_has_its_own_vector_and_an_unknown_one_none() -> None:
    vectors = Categories(sizes=[3, 2], width=4)(torch.tensor([[1, 1], [2, 1], [0, 0]]))
    assert not torch.equal(vectors[0, 0], vectors[1, 0])
    assert not torch.equal(vectors[0, 0], vectors[0, 1])
    assert vectors[2].abs().sum() == 0


def test_own_files_are_scaled_by_the_training_split_alone(tmp_path: Path) -> None:
    val = "price,colour,size\n30,green,400\n30,blue,2\n"  # other order; unknown colour, outlier
    args = make_files(tmp_path, val=val)
    train, val_split, test = DATASETS["csv"](args)
    numbers, categories, targets = train.tensors
    torch.testing.assert_close(numbers.mean(dim=0), torch.zeros(1))
    torch.testing.assert_close(numbers.std(dim=0, correction=0), torch.ones(1))
    prices = targets * train.info["deviation"] + train.info["mean"]
    torch.testing.assert_close(prices, torch.tensor([10.0, 20.0, 60.0]))
    assert categories.tolist() == [[2], [1], [2]]
    arguments = get_model_arguments(args, train.info)
    assert arguments == {"numbers": 1, "categories": [3], "dropout": 0.1}
    numbers, categories, targets = val_split.tensors
    torch.testing.assert_close(numbers, torch.tensor([[5.0], [0.0]]))
    assert categories.tolist() == [[0], [1]]
    assert targets.tolist() == [0, 0]
    assert len(test) == 3


def test_one_file_is_split_and_numbers_can_be_categories(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    rows = [f"{i % 3};{i};{i}\n" for i in range(20)]
    path.write_text("\ufeffcode;note;price\n" + "".join(rows), encoding="utf-8")
    options = ["--data-dir", str(path), "--target", "price", "--categorical", "code"]
    splits = DATASETS["csv"](parse_arguments(options))
    assert [len(split) for split in splits] == [12, 4, 4]
    assert splits[0].info["categories"] == {"code": ["0", "1", "2"]}
    prices = []
    for split in splits:
        prices.append(split.tensors[2] * split.info["deviation"] + split.info["mean"])
    assert sorted(torch.cat(prices).round().tolist()) == list(range(20))  # every row once


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", "", r"train\.csv is empty"),
        ("val", "size,colour,price\n", r"val\.csv is empty"),
        ("test", TABLE.replace("2,blue", "2,blue,"), r"test\.csv, row 3: 4 cells, .* header has 3"),
        ("val", TABLE.replace("2,", "two,"), r"val\.csv, row 3: size is 'two', not a number"),
        ("train", TABLE.replace("2,", ","), r"train\.csv, row 3: size is '', not a number"),
        ("train", TABLE.replace("20", "nan"), r"train\.csv, row 3: price is 'nan', not a number"),
        ("test", TABLE.replace("price", "cost"), r"test\.csv, row 1: no column 'price'"),
        ("val", TABLE.replace("colour", "color"), r"val\.csv, row 1: no column 'colour'"),
        ("train", TABLE.replace("colour", "size"), r"train\.csv, row 1: more than one .* 'size'"),
        ("train", "price\n1\n2\n", r"train\.csv, row 1: there is no column beside 'price'"),
        ("val", TABLE.replace("blue", '"blue'), r"val\.csv, row \d: unexpected end"),
        ("val", "size,colour,price\n1,red,10\n", r"val\.csv: too few rows"),
    ],
)
def test_own_files_that_are_wrong_are_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS["csv"](make_files(tmp_path, **{name: text}))


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'weight'"):
        DATASETS["csv"](make_files(tmp_path, "--categorical", "colour,weight"))
    with pytest.raises(UserError, match="--target"):
        DATASETS["csv"](parse_arguments(["--data-dir", str(tmp_path)]))
    args = parse_arguments(["--data-dir", str(tmp_path), "--target", "price"])
    (tmp_path / "val.csv").write_bytes(TABLE.replace("red", "r\u00f6tlich").encode("latin-1"))
    with pytest.raises(UserError, match=r"val\.csv, row 2: .* UTF-8"):
        DATASETS["csv"](args)
    (tmp_path / "val.csv").unlink()
    with pytest.raises(UserError, match=r"val\.csv"):
        DATASETS["csv"](args)
