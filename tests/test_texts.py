"""Text of any size: subwords that live on in checkpoints, and memory that does not grow."""

import random
import shutil
import sys
from pathlib import Path

import pytest
from rendering import render
from running import PROGRAMS, python, read_checkpoint, read_records, run

TASK = {"task": "language_modeling", "logger": "none"}
QUICK = ["--device", "cpu", "--quiet", "--quick", "--dataset", "text"]

CELL = """
from my_project.engine.tokenizer import decode, load_tokenizer
from my_project.utils import load_model
model, info = load_model("runs/x/checkpoints/best.pt")
tokens = load_tokenizer(info["tokenizer"]).encode("a naïve prompt")
assert decode(tokens.tolist(), info["vocabulary"]) == "a naïve prompt"
assert len(tokens) < 14 and model(tokens[None].long()).shape[2] == len(info["vocabulary"]) > 256
"""


def write_words(path: Path, size: int, words: str) -> None:
    """Write some text of about `size` bytes."""
    drawn = random.Random(0).choices(words.split(), k=10_000)
    line = " ".join(drawn) + "\n"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(max(1, size // len(line.encode()))):
            file.write(line)


def test_subwords_live_on_in_the_checkpoint(tmp_path):
    """Two processes learn them; without the training text they encode, decode and are tested."""
    project = render({**TASK, "distributed": "ddp"}, tmp_path)
    data, other = tmp_path / "data", tmp_path / "other"
    for folder, words in ((data, "a few naïve prompts of words"), (other, "ever so new texts")):
        folder.mkdir()
        write_words(folder / "train.txt", 100_000, words)
        write_words(folder / "valid.txt", 20_000, words)
    options = [*QUICK, "--data-dir", data, "--tokenizer", "bpe", "--context", "16"]
    cache = {"XDG_CACHE_HOME": tmp_path / "cache"}
    out, _ = run(project, *options, "--run-dir", "runs/x", processes=2, torchrun=False, **cache)
    assert out == ""
    names = {path.suffix for path in (tmp_path / "cache" / "my_project" / "tokens").iterdir()}
    assert names == {".bin", ".json", ".lock"}
    shutil.rmtree(data)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cell.py").write_text(CELL, encoding="utf-8")
    python(project, tmp_path / "cell.py")

    evaluate = ["--evaluate", "runs/x/checkpoints/best.pt", "--data-dir", other, "--other-data"]
    run(project, *evaluate, "--run-dir", "runs/other", "--quiet", **cache)
    test = read_records(project / "runs" / "other")[-1]
    vocabulary = read_checkpoint(project / "runs" / "x")["model_config"]["info"]["vocabulary"]
    assert 1 < test["test/perplexity"] < 4 * len(vocabulary)
    assert test["test/bits_per_byte"] == pytest.approx(test["test/bits_per_character"])


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_memory_does_not_grow_with_the_text(tmp_path, tokenizer, record_property):
    """64 MB of text take less memory than a third of it, the order of a million windows included.

    Large blocks of a model's own memory come and go by chance: the logits of 4096 subwords would
    hide the text, and so windows are few and short there.
    """
    project = render({**TASK, "distributed": "none"}, tmp_path)
    peaks = []
    for size in (2**20, 2**26):
        data = tmp_path / f"{size}.txt"
        write_words(data, size, "words that are written again and again naïve 漢字")
        options = ["--tokenizer", tokenizer, "--context", "32", "--batch-size", "2"]
        command = [PROGRAMS / "watch_memory.py", *QUICK, "--data-dir", data, *options]
        out, _ = python(project, *command, XDG_CACHE_HOME=tmp_path / "cache")
        peaks.append(float(out.splitlines()[-1]))
    record_property("table", f"{tokenizer}: {peaks} MiB for 1 and 64 MiB of text")
    assert peaks[1] - peaks[0] < 64 / 3
