"""Tests of text classification: its loss and metrics, its models, its words and own files."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS, PADDING, UNKNOWN, augment
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.utils import (
    get_metrics,
    get_model_arguments,
    get_objective,
    parse_arguments,
)


class Constant(torch.nn.Module):
    """Always gives the same logits."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(tokens)]


def test_loss_and_metrics_agree_with_a_count_by_hand() -> None:
    args = parse_arguments(["--device", "cpu"])
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    logits = 4 * torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 2, 2]), 3).float()
    batch = torch.zeros(6, 5, dtype=torch.int32), labels
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, {"classes": ["a", "b", "c"]})
        output = get_objective(args, {})(Constant(logits).eval(), batch)
        for part in (slice(0, 4), slice(4, 6)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    assert output["accuracy"].item() == values["accuracy"].item() == pytest.approx(4 / 6)
    f1 = (4 / 5 + 1 / 2 + 2 / 3) / 3  # 2 TP / (2 TP + FP + FN) of each class
    assert values["macro_f1"].item() == pytest.approx(f1)
    assert values["confusion_matrix"].tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    right = 4 - torch.tensor(4.0).exp().add(2).log()
    wrong = 0 - torch.tensor(4.0).exp().add(2).log()
    assert output["loss"].item() == pytest.approx(-(4 * right + 2 * wrong).item() / 6)


def test_training_smooths_labels_and_returns_nothing_for_metrics() -> None:
    args = parse_arguments(["--label-smoothing", "0.3"])
    batch = torch.zeros(2, 5), torch.tensor([0, 1])
    model = Constant(8 * torch.eye(3)[:2])
    train = get_objective(args, {})(model.train(), batch)
    val = get_objective(args, {})(model.eval(), batch)
    assert not train.keys() & {"predictions", "targets"}
    assert train["loss"] > val["loss"] + 1


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_from_words_and_not_from_padding(name: str, padding: int) -> None:
    torch.manual_seed(0)
    model = MODELS[name](vocabulary_size=20, length=6, num_classes=3, padding=padding).eval()
    end = [padding] * 3
    tokens = torch.tensor([[5, 3, 9, *end], [5, 3, 8, *end], [7, 7, 7, 7, 7, 7]])
    tokens = tokens.to(torch.int32)
    logits = model(tokens)
    logits.square().sum().backward()
    assert logits.shape == (3, 3)
    assert not torch.allclose(logits[0], logits[1])
    gradients = {}
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key
        gradients[key] = parameter.grad
    assert not gradients["words.weight"][padding].any()
    with torch.no_grad():
        shorter = model(tokens[:2, :3])
    torch.testing.assert_close(shorter, logits[:2].detach())


def test_augmentation_hides_words_and_no_padding() -> None:
    tokens = torch.tensor([[5, 3, 9, 0], [5, 3, 9, 0]], dtype=torch.int32)
    noise = torch.tensor([[0.9, 0.1, 0.5, 0.1], [0.9, 0.9, 0.9, 0.0]])
    hidden, _ = augment((tokens, torch.zeros(2)), noise)
    assert hidden.tolist() == [[5, UNKNOWN, 9, PADDING], [5, 3, 9, PADDING]]


def test_docstrings_are_each_in_one_split() -> None:
    splits = DATASETS["docstrings"](parse_arguments(["--max-length", "500"]))
    texts = [{tuple(text) for text in split.tensors[0].tolist()} for split in splits]
    assert len(splits[0]) > 2000
    assert min(len(split) for split in splits[1:]) > 200
    same = [len(both & texts[0]) for both in texts[1:]]  # but for unknown words
    assert sum(same) < 20
    for split in splits:
        assert set(split.tensors[1].tolist()) == set(range(7))


def own(folder: Path, *options: str, **files: str) -> Namespace:
    """Write files such as train_csv, and return the options that read them."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content.encode())
    return parse_arguments(["--dataset", "csv", "--data-dir", str(folder), *options])


ROWS = "text,label\n" + "good fun,yes\nno good,no\n" * 10


def test_own_texts_are_numbered_by_the_words_of_the_training_file(tmp_path: Path) -> None:
    files = {
        "train_csv": ROWS,
        "val_csv": "label,text\nno,Good NEWS!\n",
        "test_csv": '\ufefftext,label\n"no,\nfun",yes\n',
    }
    args = own(tmp_path, **files)
    train, val, test = DATASETS["csv"](args)
    assert train.info["classes"] == ["no", "yes"]
    assert sorted(train.info["vocabulary"][2:]) == ["fun", "good", "no"]
    good, fun, no = (train.info["vocabulary"].index(word) for word in ("good", "fun", "no"))
    assert train.tensors[0][:2].tolist() == [[good, fun], [no, good]]
    assert [part.tolist() for part in val[0]] == [[good, UNKNOWN], 0]
    assert [part.tolist() for part in test[0]] == [[no, UNKNOWN], 1]  # cut to training's longest
    model = MODELS[args.model](**get_model_arguments(args, train.info))
    assert model(train.tensors[0]).shape == (20, 2)


def test_own_texts_are_split(tmp_path: Path) -> None:
    one = DATASETS["csv"](own(tmp_path / "one", all_csv=ROWS))
    assert [len(split) for split in one] == [16, 2, 2]
    options = ["--text-column", "2", "--label-column", "1"]
    train = 'a\t"b\n\nc\td\n' * 5
    two = DATASETS["csv"](own(tmp_path / "two", *options, train_tsv=train, test_tsv="a\tb\n"))
    assert [len(split) for split in two] == [9, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "all.csv is empty"),
        ("text,label\n", "all.csv is empty"),
        ("text,class\ngood,yes\n", "row 1: --label-column label is not among .* text, class"),
        (ROWS + "fine\n", "row 22: 1 cells, but the header has 2"),
        (ROWS + "fine,\n", "row 22: the label is empty"),
        (ROWS + "\n ,yes\n", "row 23: the text is empty"),
        (ROWS + '"fine,yes\n', "row 22: unexpected end of data"),
        ("text,label\na,yes\nb,yes\n", "1 different labels in 2 rows"),
    ],
)
def test_own_texts_that_are_wrong_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS["csv"](own(tmp_path, all_csv=content))


def test_own_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        DATASETS["csv"](own(tmp_path))
    args = own(tmp_path, train_csv=ROWS, test_csv="text,label\ngood,maybe\n")
    with pytest.raises(UserError, match=r"test\.csv, row 2: the label 'maybe'"):
        DATASETS["csv"](args)
    (tmp_path / "test.csv").write_bytes("text,label\ngood,yes\nf\u00fcr,no\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"test\.csv, row 3: .* is not UTF-8"):
        DATASETS["csv"](args)
