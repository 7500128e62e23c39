"""Tests of text classification: its loss and metrics, its models, its tokens and own files."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import (
    DATASETS,
    PADDING,
    UNKNOWN,
    augment,
    encode,
    join_tokens,
)
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.loader import InMemory
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


def test_macro_f1_leaves_out_a_class_that_neither_occurs_nor_is_predicted() -> None:
    args = parse_arguments(["--device", "cpu"])
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, {"classes": ["a", "b", "absent"]})
        metrics.update(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0]))
        assert metrics.compute()["macro_f1"].item() == pytest.approx(2 / 3)  # of 2/3 and 2/3


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


def own(folder: Path, files: Mapping[str, str | bytes], *options: str) -> Namespace:
    """Write files, and return the options that read their folder as --dataset csv."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse_arguments(["--dataset", "csv", "--data-dir", str(folder), *options])


def rows(number: int, start: int = 0) -> str:
    """Return rows of different texts, of which each second one is good."""
    lines = ""
    for n in range(start, number):
        lines += f"{'bad' if n % 2 else 'good'} text number {n},{n % 2}\n"
    return lines


def get_keys(split: InMemory) -> set[int]:
    """Return the keys of the samples of a split."""
    assert split.keys is not None
    return set(split.keys.tolist())


HEADER = "text,label\n"
ROWS = HEADER + "good fun,yes\nno good,no\n" * 10


def test_own_texts_are_numbered_by_the_words_of_the_training_file(tmp_path: Path) -> None:
    files = {
        "train.csv": ROWS,
        "val.csv": "label,text\nno,Good NEWS!\n",
        "test.csv": '\ufefftext,label\n"no,\nfun",yes\n',
    }
    args = own(tmp_path, files)
    train, val, test = DATASETS["csv"](args)
    assert train.info["classes"] == ["no", "yes"]
    assert sorted(train.info["vocabulary"][2:]) == ["fun", "good", "no"]
    good, fun, no = (train.info["vocabulary"].index(word) for word in ("good", "fun", "no"))
    assert train.tensors[0][:2].tolist() == [[good, fun], [no, good]]
    assert [part.tolist() for part in val[0]] == [[good, UNKNOWN], 0]
    assert [part.tolist() for part in test[0]] == [[no, UNKNOWN], 1]  # cut to training's longest
    assert train.info["class_counts"]["test"] == {"no": 0, "yes": 1}
    assert "classes that are not in test: no" in train.info["notes"]
    model = MODELS[args.model](**get_model_arguments(args, train.info))
    assert model(train.tensors[0]).shape == (20, 2)


def test_own_texts_are_divided_by_class_and_stay_where_they_are(tmp_path: Path) -> None:
    splits = DATASETS["csv"](own(tmp_path / "one", {"all.csv": HEADER + rows(100)}))
    assert [len(split) for split in splits] == [80, 10, 10]
    assert splits[0].info["class_counts"]["test"] == {"0": 5, "1": 5}
    assert not splits[0].info["notes"]
    more = DATASETS["csv"](own(tmp_path / "more", {"all.csv": HEADER + rows(110)}))
    assert len(get_keys(splits[2]) & get_keys(more[0])) <= 2  # from test to training
    copies = HEADER + rows(40) + rows(20)
    splits = DATASETS["csv"](own(tmp_path / "copies", {"all.csv": copies}))
    assert sum(len(split) for split in splits) == 60
    train, val, test = map(get_keys, splits)
    assert not train & val and not train & test and not val & test


def test_splits_have_many_names(tmp_path: Path) -> None:
    data = {"Train.csv": HEADER + rows(40), "dev.tsv": "text\tlabel\nfine\t1\n"}
    splits = DATASETS["csv"](own(tmp_path / "two", data))
    assert [len(split) for split in splits] == [40, 1, 1]
    assert any("no test split" in note for note in splits[0].info["notes"])
    data = {"train-0.csv": HEADER + rows(20), "train-1.csv": HEADER + rows(40, 20)}
    data["test.csv"] = HEADER + rows(2)
    splits = DATASETS["csv"](own(tmp_path / "parts", data))
    assert [len(split) for split in splits] == [36, 4, 2]
    assert "2 texts of the test split are in the training split, too" in splits[0].info["notes"]


def test_columns_have_numbers_if_there_is_no_header(tmp_path: Path) -> None:
    numbers = ["--columns", "2", "1"]
    train = "".join(f"{n % 2}\ttext {n}\n" for n in range(30))
    args = own(tmp_path, {"train.tsv": train, "test.tsv": "1\tb\n"}, *numbers)
    assert [len(split) for split in DATASETS["csv"](args)] == [28, 2, 1]
    args = own(tmp_path / "header", {"a.csv": "label,text\n" + "0,a b\n1,c d\n" * 9}, *numbers)
    with pytest.raises(UserError, match="row 1: no other row has its label 'label'"):
        DATASETS["csv"](args)


def test_rows_without_text_or_label_are_left_out_and_counted(tmp_path: Path) -> None:
    text = HEADER + rows(30) + " ,1\nfine,\n" + '"' + "long text " * 15_000 + '",1\n'
    splits = DATASETS["csv"](own(tmp_path, {"all.csv": text}))
    assert sum(len(split) for split in splits) == 31
    assert any("2 rows without a text or a label" in note for note in splits[0].info["notes"])


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    lines = [f"text {n},{n % 2},author {n % 12}\n" for n in range(120)]
    args = own(tmp_path, {"all.csv": "text,label,by\n" + "".join(lines)}, "--group-column", "by")
    splits = DATASETS["csv"](args)
    sizes = [len(split) for split in splits]
    assert sum(sizes) == 120 and all(size % 10 == 0 for size in sizes) and min(sizes) > 0


def test_folders_of_text_files_are_classes(tmp_path: Path) -> None:
    files = {}
    for split, number in (("train", 12), ("test", 4)):
        for n in range(number):
            files[f"{split}/{'pos' if n % 2 else 'neg'}/{split}_{n}.txt"] = f"{split} text {n}"
    files["train/pos/.hidden.txt"] = "x"
    files["train/pos/empty.txt"] = " "
    files["train/urls.txt"] = "x"
    args = own(tmp_path, files)
    (tmp_path / "linked").symlink_to(tmp_path / "train" / "pos")
    with pytest.raises(UserError, match="--dataset text_folder"):
        DATASETS["csv"](args)
    (tmp_path / "linked").unlink()
    splits = DATASETS["text_folder"](args)
    assert [len(split) for split in splits] == [10, 2, 4]
    assert splits[0].info["classes"] == ["neg", "pos"]
    (note,) = [note for note in splits[0].info["notes"] if "left out" in note]
    for kind in ("1 x empty file", "1 x file beside the classes", "1 x hidden file"):
        assert kind in note
    more = {"val/pos/1.txt": "text 1", "val/neg/1.txt": "text 2", "train/odd/1.txt": "text 3"}
    own(tmp_path, {**more, "test/odd/1.txt": "text"})
    assert [len(split) for split in DATASETS["text_folder"](args)] == [13, 2, 5]  # val has no odd
    (tmp_path / "train" / "odd" / "1.txt").unlink()
    with pytest.raises(UserError, match="odd: this class has no text in the training split"):
        DATASETS["text_folder"](args)
    with pytest.raises(UserError, match="--group-column is of no use for --dataset text_folder"):
        options = ["--dataset", "text_folder", "--group-column", "author"]
        DATASETS["text_folder"](parse_arguments(options))


def test_labels_may_be_numbers_and_a_table_may_be_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pandas

    texts = [f" text {n} " for n in range(59)] + ["  "]
    labels = [None, *[float(n % 3) for n in range(59)]]
    pandas.DataFrame({"text": texts, "label": labels}).to_parquet(tmp_path / "all.parquet")
    splits = DATASETS["csv"](own(tmp_path, {}))
    assert splits[0].info["classes"] == ["0", "1", "2"]
    assert sum(len(split) for split in splits) == 58


@pytest.mark.parametrize("kind", ["words", "bytes", "bpe"])
def test_tokens_come_back_as_text_and_from_info_alone(tmp_path: Path, kind: str) -> None:
    args = own(tmp_path, {"all.csv": HEADER + rows(100)}, "--tokenizer", kind)
    train, _, _ = DATASETS["csv"](args)
    texts = ["good text number 7", "", "\U0001f600\u00e9" + "x" * 500]
    tokens = encode(texts, train.info)
    assert tokens.shape[1] <= train.info["length"]
    assert join_tokens(tokens[0].tolist(), train.info).startswith("good text")
    model = MODELS["transformer"](**get_model_arguments(args, train.info)).eval()
    assert model(tokens).isfinite().all()
    torch.testing.assert_close(model(encode(texts[:1], train.info)), model(tokens)[:1])
    whole = encode(texts, {**train.info, "length": 600})
    if kind != "words":
        assert join_tokens(whole[2].tolist(), train.info) == texts[2]


def test_rare_classes_weigh_as_much_as_others(tmp_path: Path) -> None:
    table = HEADER + "".join(f"text {n},{'rare' if n % 10 == 0 else 'usual'}\n" for n in range(100))
    args = own(tmp_path, {"all.csv": table}, "--class-weights", "balanced")
    train, _, _ = DATASETS["csv"](args)
    counts = train.info["class_counts"]["train"]
    assert counts == {"rare": 8, "usual": 72}
    labels = torch.tensor([0, 1])
    output = get_objective(args, train.info)(
        Constant(torch.zeros(2, 2)).eval(), (torch.zeros(2, 1), labels)
    )
    weights = torch.tensor([80 / 16, 80 / 144])  # samples / (classes x samples of the class)
    assert output["loss"].item() == pytest.approx(weights.mean().item() * 0.6931472)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "all.csv is empty"),
        ("text,label\n", "all.csv is empty"),
        ("text,class\ngood,yes\n", "row 1: --columns label is not among .* text, class"),
        (ROWS + "fine\n", "row 22: "),
        (ROWS + '"fine,yes\n', "row 22: "),
        ("text,label\na,yes\nb,yes\n", "1 different labels in 2 rows"),
        (ROWS, "2 different texts are too few"),
    ],
)
def test_own_texts_that_are_wrong_are_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS["csv"](own(tmp_path, {"all.csv": content}))


def test_own_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(UserError, match="holds nothing"):
        DATASETS["csv"](own(tmp_path / "empty", {}))
    files: dict[str, str | bytes] = {"train.csv": ROWS, "test.csv": "text,label\ngood,maybe\n"}
    args = own(tmp_path / "two", files)
    with pytest.raises(UserError, match=r"test\.csv, row 2: the label 'maybe'"):
        DATASETS["csv"](args)
    own(tmp_path / "two", {"test.csv": "text,label\ngood,yes\nf\u00fcr,no\n".encode("latin-1")})
    with pytest.raises(UserError, match=r"test\.csv, .* 3: not UTF-8"):
        DATASETS["csv"](args)
