"""Tests of tables: losses and metrics, models, and what own files hold."""

import gzip
from argparse import Namespace
from pathlib import Path

import pandas
import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS
from {{ cookiecutter.project_slug }}.engine.cells import Profile, find_reading, to_numbers
from {{ cookiecutter.project_slug }}.engine.columns import parse_kinds
from {{ cookiecutter.project_slug }}.engine.encoding import encode_rows
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.loader import InMemory
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.engine.tables import open_table, read_table
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
        return self.values.reshape(len(numbers), -1)


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
    objective = get_objective(parse_arguments([]), {"target": "price"})
    output = objective(Constant(torch.zeros(2)).train(), batch)
    assert not output.keys() & {"predictions", "targets"}


def test_classes_are_counted_and_weighted(tmp_path: Path) -> None:
    rows = [f"{number},{'no' if number % 4 else 'yes'}" for number in range(80)]
    train, _, test = read(tmp_path, ["size,ill", *rows], "--target", "ill")
    assert train.info["classes"] == ["no", "yes"]
    assert train.info["class_counts"]["val"] == {"no": 12, "yes": 4}  # a fifth of each
    assert len(test) == 16
    args = parse_arguments(["--device", "cpu", "--class-weights", "balanced"])
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    batch = torch.zeros(4, 1), torch.zeros(4, 0), labels
    output = get_objective(args, train.info)(Constant(logits).eval(), batch)
    right, wrong = 0.1269, 2.1269  # -log(softmax)
    expected = ((2 * right + wrong) / 1.5 + right / 0.5) / 4  # weights 2/3 and 2
    assert output["loss"].item() == pytest.approx(expected, rel=1e-3)
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, train.info)
        metrics.update(output["predictions"], output["targets"])
        values = metrics.compute()
        directions = get_directions(metrics)
    assert directions == {"loss": False, "accuracy": True, "macro_f1": True, "auroc": True}
    assert values["accuracy"].item() == pytest.approx(0.75)
    assert values["macro_f1"].item() == pytest.approx((0.8 + 2 / 3) / 2)
    assert values["auroc"].item() == pytest.approx(5 / 6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("numbers", "categories"), [(3, [2, 5]), (3, []), (0, [4])])
def test_every_model_takes_numbers_and_categories(
    name: str, numbers: int, categories: list[int]
) -> None:
    model = MODELS[name](numbers=numbers, categories=categories, outputs=3, dropout=0.1)
    rows = [[size - 1 for size in categories], [0 for _ in categories]]
    values = model(torch.randn(2, numbers), torch.tensor(rows, dtype=torch.int64))
    values.sum().backward()
    assert values.shape == (2, 3)
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
    assert arguments == {"numbers": 1, "categories": [3], "outputs": 1, "dropout": 0.1}
    numbers, categories, targets = val_split.tensors
    torch.testing.assert_close(numbers, torch.tensor([[5.0], [0.0]]))
    assert categories.tolist() == [[0], [1]]
    assert targets.tolist() == [0, 0]
    assert len(test) == 3


def test_one_file_is_split_and_numbers_can_be_categories(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    rows = [f"{i % 3};{i};{i}\n" for i in range(20)]
    path.write_text("\ufeffcode;note;price\n" + "".join(rows), encoding="utf-8")
    options = ["--data-dir", str(path), "--target", "price", "--columns", "code=category"]
    splits = DATASETS["csv"](parse_arguments(options))
    assert [len(split) for split in splits] == [12, 4, 4]
    train_keys, test_keys = splits[0].keys, splits[2].keys
    assert train_keys is not None
    assert test_keys is not None
    assert not torch.isin(test_keys, train_keys).any()
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
        ("val", TABLE.replace("20", "inf"), r"val\.csv, row 3: price is 'inf', not finite"),
        ("train", "size,price\n1,7.1\n2,7.1\n", r"price is 7.1 in all rows"),
        ("test", TABLE.replace("price", "cost"), r"test\.csv, row 1: no column 'price'"),
        ("val", TABLE.replace("colour", "color"), r"val\.csv, row 1: no column 'colour'"),
        ("train", TABLE.replace("colour", "size"), r"train\.csv, row 1: more than one .* 'size'"),
        ("train", "price\n1\n2\n", r"train\.csv, row 1: there is no column beside 'price'"),
        ("val", TABLE.replace("blue", "bl\0e"), r"val\.csv, line 3: no text \(a zero byte\)"),
        ("val", TABLE.replace("blue", '"blue'), r"val\.csv, row 3: unexpected end"),
        ("val", "size,colour,price\n1,red,10\n", r"too few rows for the validation split"),
    ],
)
def test_own_files_that_are_wrong_are_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS["csv"](make_files(tmp_path, **{name: text}))


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'weight'"):
        DATASETS["csv"](make_files(tmp_path, "--columns", "colour=category,weight=drop"))
    with pytest.raises(UserError, match=r"--target is missing: .* size, colour, price"):
        DATASETS["csv"](parse_arguments(["--data-dir", str(tmp_path)]))
    with pytest.raises(UserError, match="--data-dir is missing"):
        DATASETS["csv"](parse_arguments([]))
    with pytest.raises(UserError, match="--target is of no use for --dataset diabetes: leave"):
        DATASETS["diabetes"](parse_arguments(["--target", "price"]))
    with pytest.raises(UserError, match="--target-kind is of no use for --dataset diabetes"):
        DATASETS["diabetes"](parse_arguments(["--target-kind", "class"]))
    args = parse_arguments(["--data-dir", str(tmp_path), "--target", "price"])
    (tmp_path / "val.csv").write_bytes(TABLE.replace("red", "r\u00f6tlich").encode("latin-1"))
    with pytest.raises(UserError, match=r"val\.csv, line 2: .* UTF-8"):
        DATASETS["csv"](args)
    (tmp_path / "val.csv").unlink()
    with pytest.raises(UserError, match="too few rows for the validation split"):
        DATASETS["csv"](args)  # of 3 rows, one is taken to validate


# ------------------------------------------------------------------------------------ own tables


def read(folder: Path, lines: list[str], *options: str, name: str = "all.csv") -> list[InMemory]:
    """Return the splits of a table in a folder."""
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(DATASETS["csv"](parse_arguments(["--data-dir", str(folder), *options])))


def houses(number: int = 60) -> list[tuple[float, int, int]]:
    return [(30.25 + 0.5 * row, 7 * row % 90, 1000 + 10 * row) for row in range(number)]


@pytest.mark.parametrize(
    "header, form, numbers",
    [
        ("size,age,price", "{s:.2f},{a},{p}", ["size", "age"]),
        ("size;age;price", "{s:.2f};{a};{p}", ["size", "age"]),
        ("size|age|price", "{s:.2f}|{a}|{p}", ["size", "age"]),
        ("size;age;price", "{s:.2f};{a};{p},50", ["size", "age"]),
        ("size;age;price;;", "{s:.2f};{a};{p};;", ["size", "age"]),
        ("sep=;\nsize;age;price", "{s:.2f};{a};{p}", ["size", "age"]),
        ('"size, m2";"age, years";price', "{s:.2f};{a};{p}", ["size, m2", "age, years"]),
        ("size,age,price", '"${s:,.2f}",{a},{p}', ["size", "age"]),
        ("size,age,price", "\u2212{s:.2f} km,{a}%,{p}", ["size", "age"]),
        ("size,age,price $/m2 or $_", "{s:.2f},{a},{p}", ["size", "age"]),
    ],
)
def test_numbers_are_read_as_people_write_them(
    tmp_path: Path, header: str, form: str, numbers: list[str]
) -> None:
    rows = [form.format(s=size, a=age, p=price) for size, age, price in houses()]
    if ";" in header:
        rows = [row.replace(".", ",") for row in rows]
    target = header.split("\n")[-1].rstrip(";").replace("|", ",").replace(";", ",").split(",")[-1]
    train, _, _ = read(tmp_path, [header, *rows], "--target", target)
    assert list(train.info["numbers"]) == numbers
    assert not train.info["categories"]
    mean = train.info["mean"]
    assert 1100 < mean < 1500


@pytest.mark.parametrize(
    "cells, numbers",
    [
        ("1.5 2 -3", [1.5, 2, -3]),
        ("30,5 7 0,25", [30.5, 7, 0.25]),
        ("1.234.567 1.234", [1234567, 1234]),
        ("1,234.5 12", [1234.5, 12]),
        ("$1,234 $-5 -$7", [1234, -5, -7]),
        ("\u20ac5 \u20ac7", [5, 7]),
        ("45% 7%", [45, 7]),
        ("1\u00a0234 5", [1234, 5]),
        ("1e-05 2.5E3", [1e-05, 2500]),
        ("12km 13km", [12, 13]),
        ("inf 1 -inf", [float("inf"), 1, -float("inf")]),
        ("1970-01-02 1971-01-01", [1, 365]),
        ("1970-01-02T12:00:00+06:00 1970-01-01T00:00Z", [1.25, 0]),
        ("02.01.1970 31.12.1969", [1, -1]),
        ("1/31/1970 1/2/1970", [30, 1]),
        ("10:30 1:00PM", [10.5, 13]),
        ("NA n/a ? 5 null 6 nan", [5, 6]),
        ("007 012 12", None),
        ("2_0 3_1", None),
        ("1e5 2e3 12", None),
        ("True False", None),
        ("18-24 25-34", None),
        ("1st 2nd 3rd 1st 2nd 3rd", None),
        ("12km 8mi 12km 8mi", None),
        ("3.10.2 3.11.1 3.10.2 3.10.2 3.11.1", None),
    ],
)
def test_a_column_is_numbers_or_categories(cells: str, numbers: list[float] | None) -> None:
    series = pandas.Series(cells.split(" "), dtype=object)
    profile = Profile("size")
    profile.add(Path("all.csv"), series)
    reading = find_reading(profile)
    if numbers is None or reading is None:
        assert reading is None
        assert numbers is None
        return
    values = torch.from_numpy(to_numbers(Path("all.csv"), "size", series, reading))
    assert values[~values.isnan()].tolist() == pytest.approx(numbers)


@pytest.mark.parametrize(
    "cells, message",
    [
        ("1,234 2,345", r"row 0: size is '1,234': does the mark stand"),
        ("950 1.234 2.345", r"row 1: size is '1.234': does the mark stand"),
        ("950x 1.234x 2.345x", r"row 1: size is '1.234x': does the mark stand"),
        ("1,5 1.5", r"row 0: size is '1,5', not a number"),
        ("1.5 2.5 two 3.5", r"row 2: size is 'two', not a number, unlike '1.5' in row 0"),
        ("1.5 2.5 1e5", r"row 2: size is '1e5', not a number"),
        ("5$ 7", r"row 1: size is '7', not a number"),
        ("<0.1 0.2 0.3", r"row 0: size is '<0.1', not a number"),
        ("<0.1 0.2 <0.1 0.2", r"row 0: size is '<0.1'"),
        ("5% 7 5% 7", r"row 1: size is '7'"),
        ("1/2 1/3 2/3", r"row 0: size is '1/2'"),
        ("5kg 600g 7kg", r"row 1: size is '600g', .* --columns size=category"),
        ("01/02/2020 03/04/2020", r"row 0: size is '01/02/2020': which is the day"),
        ("2020-02-30 2020-02-01", r"row 0: size is '2020-02-30'"),
    ],
)
def test_a_cell_that_is_not_clear_is_named(cells: str, message: str) -> None:
    series = pandas.Series(cells.split(" "), dtype=object)
    profile = Profile("size")
    profile.add(Path("all.csv"), series)
    with pytest.raises(UserError, match=message):
        reading = find_reading(profile)
        assert reading is not None
        to_numbers(Path("all.csv"), "size", series, reading)


def test_a_class_that_is_a_word_for_missing_is_named(tmp_path: Path) -> None:
    names = ["NA", "EU", "AS"]
    rows = [f"{size},{names[number % 3]}" for number, (size, *_) in enumerate(houses())]
    train, _, _ = read(tmp_path, ["size,region", *rows], "--target", "region")
    assert "left out: 20 rows without region; missing as well: NA" in train.info["notes"]
    rows = [row.replace("AS", "EU") for row in rows]
    with pytest.raises(UserError, match=r"is 'EU' in all rows, .* missing as well: NA"):
        read(tmp_path, ["size,region", *rows], "--target", "region")


def test_three_digits_behind_a_comma_are_decimals_where_semicolons_separate(tmp_path: Path) -> None:
    rows = [f"{size:.3f};{age};{price}".replace(".", ",") for size, age, price in houses()]
    train, _, _ = read(tmp_path, ["size;age;price", *rows], "--target", "price")
    assert 30 < train.info["numbers"]["size"][0] < 60
    points = [f"{row};1.5" for row in rows]  # then commas may be those of thousands
    with pytest.raises(UserError, match="row 2: size is '30,250': does the mark stand"):
        read(tmp_path, ["size;age;price;weight", *points], "--target", "price")


def test_missing_cells_are_filled_marked_and_counted(tmp_path: Path) -> None:
    rows = []
    for row, (size, _, price) in enumerate(houses()):
        colour = ("red", "blue", "NA")[row % 3]
        rows.append(f"{'' if row % 5 else size},{colour},,{'?' if row < 3 else price}")
    train, val, test = read(tmp_path, ["size,colour,note,price", *rows], "--target", "price")
    assert sum(len(split) for split in (train, val, test)) == 57
    assert train.info["marked"] == ["size"]
    assert train.info["categories"] == {"colour": ["", "blue", "red"]}
    numbers = train.tensors[0]
    missing = numbers[:, 1] == 1
    mean, deviation = train.info["numbers"]["size"]
    median = (train.info["medians"]["size"] - mean) / deviation
    torch.testing.assert_close(numbers[missing, 0], torch.full((int(missing.sum()),), median))
    notes = "\n".join(train.info["notes"])
    assert "dropped: note (empty)" in notes
    assert "size 46" in notes
    assert "colour 19" in notes
    assert "left out: 3 rows without price" in notes


def test_new_rows_are_encoded_as_in_training(tmp_path: Path) -> None:
    lines = ["size;colour;price"]
    for size, age, price in houses():
        lines.append(f"{'' if age < 20 else size};c{age % 3};{price}".replace(".", ","))
    train, _, _ = read(tmp_path, lines, "--target", "price")
    table = read_table(tmp_path / "all.csv")
    numbers, categories = encode_rows(table, train.info)
    encoded = torch.cat((numbers, categories), dim=1)
    for row in torch.cat((train.tensors[0], train.tensors[1]), dim=1):
        assert (row - encoded).abs().sum(dim=1).min() < 1e-5
    frame = pandas.DataFrame({"size": ["31,5"], "colour": ["unknown"]})
    numbers, categories = encode_rows(frame, train.info)
    mean, deviation = train.info["numbers"]["size"]
    assert numbers[0, 0].item() == pytest.approx((31.5 - mean) / deviation)
    assert categories.tolist() == [[0]]


def test_rows_are_not_learnt_by_their_number_or_name(tmp_path: Path) -> None:
    rows = [f"{row},n{row},{row % 7},{price}" for row, (_, _, price) in enumerate(houses())]
    lines = [",name,size,price", *rows]
    train, _, _ = read(tmp_path, lines, "--target", "price")
    assert list(train.info["numbers"]) == ["size"]
    assert not train.info["categories"]
    options = ["--target", "price", "--columns", "column 1=number,name=category"]
    train, _, _ = read(tmp_path, lines, *options)
    assert list(train.info["numbers"]) == ["column 1", "size"]
    assert list(train.info["categories"]) == ["name"]


def test_copies_of_rows_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    lines = ["size,price", *(f"{size},{price}" for size, _, price in houses())]
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    train, val, _ = read(tmp_path, lines, "--target", "price", name="train.csv")
    assert len(train) == 54 and len(val) == 6
    assert "54 rows of the test split are in the training split, too" in train.info["notes"]


def test_the_order_of_the_columns_moves_no_row(tmp_path: Path) -> None:
    rows = [(f"{size}", f"{age}", f"{price}") for size, age, price in houses()]
    orders = (["size", "age", "price"], ["price", "size", "age"])
    keys = []
    for order in orders:
        lines = [",".join(order)]
        for row in rows:
            cells = dict(zip(("size", "age", "price"), row, strict=True))
            lines.append(",".join(cells[name] for name in order))
        keys.append([split.keys for split in read(tmp_path, lines, "--target", "price")])
    for one, other in zip(*keys, strict=True):
        assert torch.equal(one, other)


COLUMNS = {  # of titles of 200 rows, and whether they tell that a row is odd or its number
    "text": (lambda row: ("even", "odd")[row % 2], True, False),
    "gap": (lambda row: ("even", "")[row % 2], True, False),
    "flag": (lambda row: f"{7 - row % 2}", True, False),
    "finer": (lambda row: f"{'abcdefgh'[row % 8]}", True, False),
    "name": (lambda row: f"{'even' if row % 2 else 'odd'} {row // 4}", False, False),
    "mixed": (lambda row: "odd" if row % 40 == 0 else ("even", "odd")[row % 2], False, False),
    "constant": (lambda row: "1" if row else "2", False, False),
    "unit": (lambda row: f"{32 + 1.8 * row:.1f}" if row % 9 else "", False, True),
    "falling": (lambda row: f"{-row / 7:.3f}", False, True),
    "near": (lambda row: f"{row + row % 5}", False, False),
    "curved": (lambda row: f"{(row + 200) ** 2}", False, False),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_alone_tells_the_target_is_named(tmp_path: Path, column: str) -> None:
    make, tells_class, tells_number = COLUMNS[column]
    for target, kind, is_told in (
        (lambda row: f"{row % 2}", "class", tells_class),
        (lambda row: f"{row}", "number", tells_number),
    ):
        lines = [f"{column},other,y"]
        lines += [f"{make(row)},{row * 37 % 11},{target(row)}" for row in range(200)]
        train, _, _ = read(tmp_path, lines, "--target", "y", "--target-kind", kind)
        notes = [note for note in train.info["notes"] if note.startswith("alone tells y")]
        expected = f"alone tells y: {column}; results are too good if that is not known beforehand:"
        assert notes == ([f"{expected} --columns {column}=drop"] if is_told else [])


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_honest_data_have_no_such_column(name: str) -> None:
    train, _, _ = DATASETS[name](parse_arguments(["--dataset", name]))
    assert "alone" not in " ".join(train.info["notes"])


def test_unknown_categories_are_counted(tmp_path: Path) -> None:
    lines = ["colour,price", *(f"{'red' if n % 2 else 'blue'},{n}" for n in range(20))]
    (tmp_path / "test.csv").write_text("colour,price\ngreen,1\nred,2\n,3\n", encoding="utf-8")
    options = ("--target", "price", "--target-kind", "number")
    train, _, test = read(tmp_path, lines, *options, name="train.csv")
    assert "unknown categories in the test split: colour 2" in train.info["notes"]
    assert test.tensors[1].tolist() == [[0], [2], [0]]


def test_rows_of_a_group_stay_in_one_split(tmp_path: Path) -> None:
    rows = [f"p{row % 15},{size},{price}" for row, (size, _, price) in enumerate(houses())]
    lines = ["patient,size,price", *rows]
    splits = read(tmp_path, lines, "--target", "price", "--group-column", "patient")
    sizes = []
    for split in splits:
        mean, deviation = split.info["numbers"]["size"]
        rows_of = ((split.tensors[0][:, 0] * deviation + mean - 30.25) / 0.5).round()
        sizes.append({int(row) % 15 for row in rows_of.tolist()})
        assert len(split) == 4 * len(sizes[-1])
    assert not (sizes[0] & sizes[1] or sizes[0] & sizes[2] or sizes[1] & sizes[2])


@pytest.mark.parametrize(
    "cells, kind, classes",
    [
        (["0", "1"], "auto", ["0", "1"]),
        (["True", "False"], "auto", ["False", "True"]),
        (["3", "10", "4"], "auto", ["3", "4", "10"]),
        (["3.5", "4"], "auto", None),
        (["1.5", "2.5"], "class", ["1.5", "2.5"]),
        (["0", "1"], "number", None),
        (["$5_$10", "$10_$20"], "auto", ["$10_$20", "$5_$10"]),
    ],
)
def test_the_target_is_a_number_or_a_class(
    tmp_path: Path, cells: list[str], kind: str, classes: list[str] | None
) -> None:
    rows = [f"{row},{cells[row % len(cells)]}" for row in range(60)]
    options = ["--target", "ill", "--target-kind", kind]
    train, _, _ = read(tmp_path, ["size,ill", *rows], *options)
    assert train.info.get("classes") == classes
    assert train.tensors[2].dtype == (torch.float32 if classes is None else torch.int64)


def test_rounding_and_huge_numbers_stay_finite(tmp_path: Path) -> None:
    lines = ["size,same,huge,price"]
    for row, (size, _, price) in enumerate(houses()):
        same = 0.1 + 0.2 if row % 2 else 0.3
        huge = ("1e+300", "inf", "-2.5e-300", "0")[row % 4]
        lines.append(f"{size},{same!r},{huge},{price}")
    (tmp_path / "test.csv").write_text("\n".join([lines[0], "1,0.31,5,1000", "2,0.3,-inf,1500"]))
    train, _, test = read(tmp_path, lines, "--target", "price", name="train.csv")
    numbers = torch.cat((train.tensors[0], test.tensors[0]))
    assert numbers.isfinite().all()
    assert numbers.abs().max() <= 5
    assert train.tensors[0][:, 1].abs().max() < 1e-6


def test_names_with_commas_and_equals_signs_can_be_chosen() -> None:
    kinds = {"size, m2": "number", "a=b": "drop", "id": "category"}
    assert parse_kinds("size, m2=number,a=b=drop,id=category") == kinds
    for text in ("size", "size=text", "size=number,,"):
        with pytest.raises(UserError, match="--columns"):
            parse_kinds(text)


@pytest.mark.parametrize(
    "data, cells",
    [
        (b'a,b\r\n1,"x, y"\r\n', [["1", "x, y"]]),
        (b'a,b\n\n1,"l1\nl2"\n,\n', [["1", "l1\nl2"]]),
        ("a,b\n1,\u00e4\n".encode("utf-16"), [["1", "\u00e4"]]),
        ("\ufeffa,b\n1,\u00e4\n".encode(), [["1", "\u00e4"]]),
        (gzip.compress(b"a,b\n1,2\n"), [["1", "2"]]),
        (b"a;b\n0,5;1\n1,5;2\n", [["0,5", "1"], ["1,5", "2"]]),
        (b'a\tb\n"x\t1\ny "z"\t2\n', [['"x', "1"], ['y "z"', "2"]]),
        (b'a\tb\n"x\ty"\t1\n', [["x\ty", "1"]]),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", [["1", "x" * 200_000]]),
        (b"a,b\n007,2_0\n1e5,NA\n", [["007", "2_0"], ["1e5", "NA"]]),
    ],
)
def test_the_cells_of_a_table_are_text_as_it_is(
    tmp_path: Path, data: bytes, cells: list[list[str]]
) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes(data)
    table = read_table(path)
    assert list(table.columns) == ["a", "b"]
    assert table.to_numpy().tolist() == cells


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty"),
        (b"a,b\n", "is empty"),
        (b"a,b\n1,2\n3\n", "row 3: 1 cells, but the header has 2"),
        (b"a,b\n\n1,2,3\n", "row 3: 3 cells, but the header has 2"),
        (b"a,a\n1,2\n", "row 1: more than one column is called 'a'"),
        (b'a,b\n"x,1\n', "row 2: unexpected end of data"),
        (b"a,b\n1,2\n3,\xe4\n", "line 3: not UTF"),
        ("a,b\n1,2\n".encode("utf-16-le"), "another encoding"),
        (gzip.compress(b"a,b\n1,2\n")[:-9], r"cannot read .*all\.csv"),
        (b"\xd0\xcf\x11\xe0....", "Excel"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        open_table(path)


def test_a_parquet_file_gives_the_same_data(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(houses(), columns=["size", "age", "price"])
    frame["sold"] = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(frame["age"], unit="D")
    frame["garden"] = frame["age"] > 40
    frame.loc[10:30, "size"] = None
    frame.to_csv(tmp_path / "all.csv", index=False)
    frame.to_parquet(tmp_path / "all.parquet")
    infos = []
    for name in ("all.csv", "all.parquet"):
        args = parse_arguments(["--data-dir", str(tmp_path / name), "--target", "price"])
        splits = DATASETS["csv"](args)
        assert sum(len(split) for split in splits) == 60
        info = splits[0].info
        infos.append([list(info["numbers"]), info["marked"], info["categories"]])
    garden = {"garden": ["False", "True"]}
    assert infos[0] == infos[1] == [["size", "age", "sold"], ["size"], garden]
