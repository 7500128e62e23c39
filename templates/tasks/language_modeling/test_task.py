"""Tests of language modeling: its loss and metrics, its models, its windows and own text."""

import math
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS, VOCABULARY, decode, encode, shift
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.metrics import BitsPerCharacter
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
    targets = torch.tensor(list("naïve café".encode())).view(3, 4)  # ten characters, twelve bytes
    expected = torch.nn.functional.one_hot(targets[0], 256) > 0
    logits = torch.zeros(3, 4, 256)
    logits[0] = torch.where(expected, math.log(255), 0.0)
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, {"vocabulary": VOCABULARY})
        output = get_objective(args)(Constant(logits).eval(), (torch.zeros(3, 4), targets))
        for part in (slice(0, 1), slice(1, 3)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    bits = 4 * 1 + 8 * 8  # the first four bytes have probability 1/2, the others 1/256
    assert output["loss"].item() == pytest.approx(bits / 12 * math.log(2))
    assert values["perplexity"].item() == pytest.approx(2 ** (bits / 12))
    assert values["bits_per_character"].item() == pytest.approx(bits / 10)


def test_training_returns_nothing_for_metrics() -> None:
    batch = torch.zeros(1, 4), torch.zeros(1, 4)
    output = get_objective(parse_arguments([]))(Constant(torch.zeros(1, 4, 256)).train(), batch)
    assert not output.keys() & {"predictions", "targets"}


def test_bits_per_character_do_not_depend_on_the_tokens() -> None:
    half = "é".encode()[1:].decode("utf-8", "surrogateescape")
    metric = BitsPerCharacter(["ab", "é", half])
    metric.update(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]))  # "ab", "é", end of another "é"
    assert metric.compute().item() == pytest.approx(3 * math.log2(3) / 3)


def test_tokens_can_be_decoded() -> None:
    tokens = encode("naïve 漢字\r\n").tolist()
    assert len(tokens) == 15
    assert decode(tokens, VOCABULARY) == "naïve 漢字\r\n"
    assert decode(tokens[:-3], VOCABULARY) == "naïve 漢�"  # the last character is not complete
    assert decode([1, 0, 1], ["Hugging", " Face"]) == " FaceHugging Face"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_looks_back_and_never_ahead(name: str) -> None:
    model = MODELS[name](vocabulary_size=7, width=32, layers=2, dropout=0.1)
    tokens = torch.randint(7, (2, 10))
    model(tokens).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 7
    before, after = model(tokens), model(changed)
    assert before.shape == (2, 10, 7)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    for position in range(4, 10):
        assert (before[:, position] - after[:, position]).abs().max() > 1e-6


def test_a_width_that_has_no_heads_is_named() -> None:
    with pytest.raises(UserError, match="--width 40 is not a multiple of 32"):
        get_model_arguments(parse_arguments(["--width", "40"]), {"vocabulary": VOCABULARY})


def make_text(path: Path, *options: str) -> Namespace:
    path.write_bytes(bytes(range(100)) * 4)
    return parse_arguments(["--data-dir", str(path), "--context", "10", *options])


def test_windows_cover_the_text(tmp_path: Path) -> None:
    train, val, test = DATASETS["text"](make_text(tmp_path / "a.txt", "--no-augment"))
    assert [len(split) for split in (train, val, test)] == [31, 3, 3]
    inputs, targets = train[1]
    assert inputs.tolist() == list(range(10, 20))
    assert targets.tolist() == list(range(11, 21))


def test_training_windows_shift(tmp_path: Path) -> None:
    train, _, _ = DATASETS["text"](make_text(tmp_path / "a.txt"))
    (stretch,) = train[1]
    noise = torch.tensor([[0.0], [0.31], [0.999999]])
    inputs, targets = shift((stretch.expand(3, -1),), noise, context=10)
    assert inputs[:, 0].tolist() == [10, 13, 19]
    assert torch.equal(inputs + 1, targets)


def test_own_files_are_split_whole(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / "more").mkdir()
    for number in range(10):
        (tmp_path / "more" / f"{number}.txt").write_text(str(number) * 30)
    options = ["--data-dir", str(tmp_path), "--context", "10", "--no-augment"]
    splits = DATASETS["text"](parse_arguments(options))
    train, val, test = (set(split.tensors[0].unique().tolist()) for split in splits)
    assert len(val) == len(test) == 1
    assert not val & test and not (val | test) & train


def test_own_splits_are_kept(tmp_path: Path) -> None:
    args = parse_arguments(["--data-dir", str(tmp_path), "--context", "10"])
    for number, name in enumerate(("train", "val", "test")):
        (tmp_path / f"{name}.txt").write_text(str(number) * 30)
        if name == "val":
            with pytest.raises(UserError, match=r"only train\.txt and val\.txt"):
                DATASETS["text"](args)
    characters = [split.tensors[0].unique().tolist() for split in DATASETS["text"](args)]
    assert characters == [[ord("0")], [ord("1")], [ord("2")]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"cannot read .*own\.txt"),
        (b"", r"own\.txt is empty"),
        (b"caf\xe9 " * 100, r"own\.txt, byte 3: not UTF-8"),
        (b"short", r"own\.txt: .* too short"),
    ],
)
def test_own_text_that_is_wrong_is_named(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "own.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        DATASETS["text"](parse_arguments(["--data-dir", str(path)]))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no files"):
        DATASETS["text"](parse_arguments(["--data-dir", str(tmp_path)]))
