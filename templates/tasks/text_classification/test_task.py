"""What is particular to text classification: its metrics, its models, its words and own files."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from datasets import DATASETS, PADDING, UNKNOWN, augment
from loader import InMemory
from models import MODELS
from runtime import UserError, start
from utils import get_metrics, get_objective, parse_arguments


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
    dataset = InMemory(torch.zeros(6, 5, dtype=torch.int32), labels, info={"classes": ["a", "b", "c"]})
    with start(args) as runtime:
        metrics = get_metrics(runtime, dataset)
        loss, predictions, targets = get_objective(args)(Constant(logits).eval(), dataset.tensors)
        for part in (slice(0, 4), slice(4, 6)):  # in two uneven batches
            metrics.update(predictions[part], targets[part])
        values = metrics.compute()
    assert values["accuracy"].item() == pytest.approx(4 / 6)
    assert values["macro_f1"].item() == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)  # 2 TP / (2 TP + FP + FN)
    assert values["confusion_matrix"].tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    right = 4 - torch.tensor(4.0).exp().add(2).log()
    wrong = 0 - torch.tensor(4.0).exp().add(2).log()
    assert loss.item() == pytest.approx(-(4 * right + 2 * wrong).item() / 6)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_from_words_and_not_from_padding(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name](vocabulary=20, length=6, num_classes=3)
    tokens = torch.tensor([[5, 3, 9, 0, 0, 0], [5, 3, 8, 0, 0, 0], [7, 7, 7, 7, 7, 7]], dtype=torch.int32)
    logits = model(tokens)
    logits.square().sum().backward()
    assert logits.shape == (3, 3)
    assert not torch.allclose(logits[0], logits[1])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(gradients[name].any() for name, _ in model.named_parameters())
    assert not gradients["words.weight"][PADDING].any()
    with torch.no_grad():
        shorter = model.eval()(tokens[:2, :3])
    torch.testing.assert_close(shorter, logits[:2].detach())


def test_augmentation_hides_words_and_no_padding() -> None:
    tokens = torch.tensor([[5, 3, 9, 0], [5, 3, 9, 0]], dtype=torch.int32)
    numbers = torch.tensor([[0.9, 0.1, 0.5, 0.1], [0.9, 0.9, 0.9, 0.0]])
    hidden, _ = augment([tokens, torch.zeros(2)], numbers)
    assert hidden.tolist() == [[5, UNKNOWN, 9, PADDING], [5, 3, 9, PADDING]]


def test_docstrings_are_each_in_one_split() -> None:
    splits = DATASETS["docstrings"](parse_arguments(["--max-length", "500"]))
    texts = [{tuple(text) for text in split.tensors[0].tolist()} for split in splits]
    assert len(splits[0]) > 2000
    assert min(len(split) for split in splits[1:]) > 200
    assert sum(len(both & texts[0]) for both in texts[1:]) < 20  # those that differ only in unknown words
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
    val_csv, test_csv = "label,text\nno,Good NEWS!\n", '\ufefftext,label\n"no,\nfun",yes\n'
    train, val, test = DATASETS["csv"](own(tmp_path, train_csv=ROWS, val_csv=val_csv, test_csv=test_csv))
    assert train.info["classes"] == ["no", "yes"]
    assert sorted(train.info["vocabulary"][2:]) == ["fun", "good", "no"]
    good, fun, no = (train.info["vocabulary"].index(word) for word in ("good", "fun", "no"))
    assert train.tensors[0][:2].tolist() == [[good, fun], [no, good]]
    assert [part.tolist() for part in val[0]] == [[good, UNKNOWN], 0]
    assert [part.tolist() for part in test[0]] == [[no, UNKNOWN], 1]  # cut to the longest of training


def test_own_texts_are_split(tmp_path: Path) -> None:
    assert [len(split) for split in DATASETS["csv"](own(tmp_path / "one", all_csv=ROWS))] == [16, 2, 2]
    options = ["--text-column", "2", "--label-column", "1"]
    args = own(tmp_path / "two", *options, train_tsv='a\t"b\n\nc\td\n' * 5, test_tsv="a\tb\n")
    assert [len(split) for split in DATASETS["csv"](args)] == [9, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "all.csv is empty"),
        ("text,label\n", "0 different labels in 0 rows"),
        ("text,class\ngood,yes\n", "row 1: --label-column label is not among the columns text, class"),
        (ROWS + "fine\n", "row 22: 1 columns instead of 2"),
        (ROWS + "fine,\n", "row 22: the label is empty"),
        (ROWS + "\n ,yes\n", "row 23: the text is empty"),
        (ROWS + '"fine,yes\n', "line 22: unexpected end of data"),
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
    with pytest.raises(UserError, match=r"test\.csv, line 3: this is not UTF-8"):
        DATASETS["csv"](args)
