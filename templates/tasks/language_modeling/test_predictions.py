"""Tests of predict.py: text that is written, the same for the same seed, and scores of files."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from predicting import run_predict, train

from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.predictions import Prompt, generate
from {{ cookiecutter.project_slug }}.utils import (
    evaluate,
    get_loaders,
    get_metrics,
    get_objective,
    load_model,
    parse_arguments,
)


def make_texts(folder: Path) -> list[str]:
    """Write train.txt and val.txt; return the options that use them."""
    (folder / "train.txt").write_text("".join(f"{row} + {row} = {2 * row}\n" for row in range(99)))
    (folder / "val.txt").write_text(("1 + 1 = 2\n2 + 2 = 4\n" * 20)[: 20 * 16 + 1])
    return ["--dataset", "text", "--data-dir", str(folder), "--context", "16", "--batch-size", "8"]


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on some sums."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return train(tmp_path, *make_texts(tmp_path / "data"))


class Cycle(torch.nn.Module):
    """Expects the tokens of a text in a cycle, by the number of tokens that it sees."""

    def __init__(self, text: bytes):
        super().__init__()
        self.text = text
        self.lengths: list[int] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.lengths.append(tokens.shape[1])
        logits = torch.zeros(*tokens.shape, 256)
        logits[:, -1, self.text[(len(self.lengths) - 1) % len(self.text)]] = 100
        return logits


def test_a_score_is_that_of_validation(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    data = run_dir.parent / "data"
    args = parse_arguments(["--device", "cpu", *make_texts(data)])
    model, info = load_model(run_dir / "checkpoints" / "best.pt")
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, info)
        loader = get_loaders(args, runtime)[1]
        values = evaluate(runtime, model, loader, get_objective(args, info), metrics)
    capsys.readouterr()
    assert run_predict(run_dir, data / "val.txt", "--score", "--batch-size", "8") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("320 tokens: ")
    for name in ("perplexity", "bits_per_character", "bits_per_byte"):
        found = float(line.partition(f"{name} ")[2].partition(",")[0])
        assert found == pytest.approx(values[name], abs=1e-4)


def test_the_same_seed_writes_the_same_text(
    run_dir: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    output = run_dir.parent / "out.txt"
    for seed, temperature in (("0", "1"), ("0", "1"), ("1", "1"), ("2", "0"), ("3", "0")):
        words = ["--prompt", "9 + 9 = ", "--length", "40", "--seed", seed]
        run_predict(run_dir, *words, "--temperature", temperature, "--output", output)
        texts.append(output.read_text(encoding="utf-8"))
        assert capsys.readouterr().out.endswith(f"{texts[-1]}\n")
    assert texts[0].startswith("9 + 9 = ")
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] == texts[4]
    (run_dir.parent / "new.txt").write_text("9 + 9 = \n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"9 + 9 = \n")))
    for name in (run_dir.parent / "new.txt", "-"):
        run_predict(run_dir, name, "--length", "40", "--temperature", "1")
        assert capsys.readouterr().out == f"{texts[0]}\n"


def test_characters_are_written_when_they_are_whole() -> None:
    args = parse_arguments(["--device", "cpu"])
    args.length, args.temperature = 7, 0.0
    vocabulary = [bytes([value]).decode("utf-8", "surrogateescape") for value in range(256)]
    model = Cycle("é€x".encode() + b"\xe2")
    prompt = Prompt("ab", torch.zeros(1, 2, dtype=torch.int64), window=4, vocabulary=vocabulary)
    with start(args) as runtime:
        parts = list(generate(args, runtime, model, prompt))
    assert parts == ["ab", "", "é", "", "", "€", "x", "", "\ufffd"]
    assert model.lengths == [2, 3, 4, 4, 4, 4, 4]


def test_a_long_prompt_is_cut_at_the_left(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    written = []
    for prompt in ("7 + 7 = 14\n8 + 8 = 16\n", "x" * 50 + "7 + 7 = 14\n8 + 8 = 16\n"):
        run_predict(run_dir, "--prompt", prompt, "--length", "20")
        written.append(capsys.readouterr().out.removeprefix(prompt))
    assert written[0] == written[1]


def test_a_wrong_prompt_is_one_line(run_dir: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_dir.parent
    (folder / "latin.txt").write_bytes("très".encode("latin-1"))
    (folder / "empty.txt").write_text("")
    cases: list[tuple[list[Any], str]] = [
        ([], "nothing to continue"),
        (["--prompt", ""], "--prompt is empty"),
        (["--score", "--prompt", "a"], "--score needs files"),
        ([folder / "latin.txt"], "latin.txt, byte 2: not text in UTF-8"),
        ([folder / "empty.txt", "--score"], "empty.txt is empty"),
        ([folder / "none.txt"], "does not exist"),
    ]
    for words, message in cases:
        with pytest.raises(UserError, match=message):
            run_predict(run_dir, *words, "--output", folder / "out.txt")
        assert not (folder / "out.txt").exists()
    (folder / "good.txt").write_text("1 + ")
    assert run_predict(run_dir, "--length", "3", folder / "latin.txt", folder / "good.txt") == 1
    assert "latin.txt, byte 2" in capsys.readouterr().err
