"""Tests of language modeling: loss and metrics, models, windows, own text and tokenizers."""

import errno
import math
import threading
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from {{ cookiecutter.project_slug }}.datasets import DATASETS, in_memory, shift
from {{ cookiecutter.project_slug }}.engine.cache import make_once
from {{ cookiecutter.project_slug }}.engine.errors import UserError
from {{ cookiecutter.project_slug }}.engine.loader import InMemory
from {{ cookiecutter.project_slug }}.engine.metrics import BitsPerByte, BitsPerCharacter
from {{ cookiecutter.project_slug }}.engine.runtime import start
from {{ cookiecutter.project_slug }}.engine.texts import CHUNK, find_texts, get_piece, read_chunks
from {{ cookiecutter.project_slug }}.engine.tokenizer import (
    ByteTokenizer,
    SubwordTokenizer,
    decode,
    learn_subwords,
    load_tokenizer,
)
from {{ cookiecutter.project_slug }}.engine.tokens import take_sample
from {{ cookiecutter.project_slug }}.models import MODELS
from {{ cookiecutter.project_slug }}.utils import (
    get_metrics,
    get_model_arguments,
    get_objective,
    parse_arguments,
)

VOCABULARY = ByteTokenizer().vocabulary


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files of tokens."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "{{ cookiecutter.project_slug }}" / "tokens"


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
        output = get_objective(args, {})(Constant(logits).eval(), (torch.zeros(3, 4), targets))
        for part in (slice(0, 1), slice(1, 3)):  # in two uneven batches
            metrics.update(output["predictions"][part], output["targets"][part])
        values = metrics.compute()
    bits = 4 * 1 + 8 * 8  # the first four bytes have probability 1/2, the others 1/256
    assert output["loss"].item() == pytest.approx(bits / 12 * math.log(2))
    assert values["perplexity"].item() == pytest.approx(2 ** (bits / 12))
    assert values["bits_per_character"].item() == pytest.approx(bits / 10)
    assert values["bits_per_byte"].item() == pytest.approx(bits / 12)


def test_training_returns_nothing_for_metrics() -> None:
    batch = torch.zeros(1, 4), torch.zeros(1, 4)
    output = get_objective(parse_arguments([]), {})(Constant(torch.zeros(1, 4, 256)).train(), batch)
    assert not output.keys() & {"predictions", "targets"}


def test_bits_do_not_depend_on_the_tokens() -> None:
    half = "é".encode()[1:].decode("utf-8", "surrogateescape")
    targets = torch.tensor([[0, 1, 2]])  # "ab", "é", and the end of another "é"
    bits = 3 * math.log2(3)
    for metric, units in ((BitsPerCharacter, 3), (BitsPerByte, 5)):
        value = metric(["ab", "é", half])
        value.update(torch.zeros(1, 3, 3), targets)
        assert value.compute().item() == pytest.approx(bits / units)


@pytest.mark.parametrize("name", ["bytes", "bpe"])
def test_bits_of_a_model_that_knows_nothing(name: str) -> None:
    """Each token takes the bits of a choice among all tokens, whatever text it stands for."""
    args = parse_arguments(["--tokenizer", name, "--context", "8", "--device", "cpu"])
    text = "naïve cafés, 漢字 and more cafés\n" * 20
    _, _, test = in_memory(args, [text, text, text])
    vocabulary = test.info["vocabulary"]
    targets = test.tensors[1].long()
    with start(args) as runtime:
        metrics = get_metrics(args, runtime, test.info)
        metrics.update(torch.zeros(*targets.shape, len(vocabulary)), targets)
        values = metrics.compute()
    evaluated = targets.flatten().tolist()
    whole = load_tokenizer(test.info["tokenizer"]).encode(text)
    assert evaluated == whole[1 : len(evaluated) + 1].tolist() and len(whole) - len(evaluated) <= 8
    data = "".join(vocabulary[token] for token in evaluated).encode("utf-8", "surrogateescape")
    characters = sum(byte >> 6 != 0b10 for byte in data)
    assert characters < len(data) and data[3:-3] in text.encode()
    assert len(data) == len(evaluated) if name == "bytes" else len(data) > 4 * len(evaluated)
    bits = len(evaluated) * math.log2(len(vocabulary))
    assert values["bits_per_byte"].item() == pytest.approx(bits / len(data))
    assert values["bits_per_character"].item() == pytest.approx(bits / characters)
    assert values["perplexity"].item() == pytest.approx(len(vocabulary), rel=1e-5)


# --------------------------------------------------------------------------------------- tokens


def test_tokens_can_be_decoded() -> None:
    tokens = ByteTokenizer().encode("naïve 漢字\r\n").tolist()
    assert len(tokens) == 15
    assert decode(tokens, VOCABULARY) == "naïve 漢字\r\n"
    assert decode(tokens[:-3], VOCABULARY) == "naïve 漢�"  # the last character is not complete
    assert decode([1, 0, 1], ["Hugging", " Face"]) == " FaceHugging Face"


def test_subwords_can_be_decoded_without_their_library() -> None:
    text = "one token, two tokens\r\n" * 50
    saved = learn_subwords([text], 264)
    assert saved == learn_subwords([text], 264)
    tokenizer = load_tokenizer(saved)
    assert isinstance(tokenizer, SubwordTokenizer) and len(tokenizer.vocabulary) == 264
    assert " token" in tokenizer.vocabulary
    for other in (text, "never seen: naïve 漢字 😀\n\n  x", "\t\x01", ""):
        tokens = tokenizer.encode(other)
        assert decode(tokens.tolist(), tokenizer.vocabulary) == other
        assert tokens.dtype == torch.int16
    assert torch.equal(tokenizer.encode(text, text), torch.cat([tokenizer.encode(text)] * 2))


# --------------------------------------------------------------------------------------- models


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


# -------------------------------------------------------------------------------------- windows


def make_text(path: Path, *options: str) -> Namespace:
    path.write_bytes(bytes(range(1, 101)) * 4)
    return parse_arguments(["--data-dir", str(path), "--context", "10", *options])


def test_windows_cover_the_text(tmp_path: Path) -> None:
    train, val, test = DATASETS["text"](make_text(tmp_path / "a.txt", "--no-augment"))
    assert [len(split) for split in (train, val, test)] == [31, 3, 3]
    inputs, targets = train[1]
    assert inputs.tolist() == list(range(11, 21))
    assert targets.tolist() == list(range(12, 22))


def test_training_windows_shift(tmp_path: Path) -> None:
    train, _, _ = DATASETS["text"](make_text(tmp_path / "a.txt"))
    (stretch,) = train[1]
    noise = torch.tensor([[0.0], [0.31], [0.999999]])
    inputs, targets = shift((stretch.expand(3, -1),), noise, context=10)
    assert inputs[:, 0].tolist() == [11, 14, 20]
    assert torch.equal(inputs + 1, targets)


# ------------------------------------------------------------------------------------- own files


def read(folder: Path, *options: str) -> tuple[InMemory, InMemory, InMemory]:
    """Return the splits of own text."""
    words = ["--data-dir", str(folder), "--context", "10", "--no-augment", *options]
    return DATASETS["text"](parse_arguments(words))


def read_letters(folder: Path) -> list[str]:
    """Return the characters that occur in each split of own text, but for line breaks."""
    letters = []
    for split in read(folder):
        letters.append("".join(map(chr, split.tensors[0].unique().tolist())).strip())
    return letters


def test_own_files_are_split_whole(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / "more").mkdir()
    for number in range(10):
        (tmp_path / "more" / f"{number}.txt").write_text(str(number) * 30)
    splits = read(tmp_path)
    train, val, test = (set(split.tensors[0].unique().tolist()) for split in splits)
    assert len(val) == len(test) == 1
    assert not val & test and not (val | test) & train
    assert splits[0].info["notes"] == ["left out: 1 x hidden file"]


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "val.txt", "test.txt"),
        ("train.txt", "valid.txt", "test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("Training.md", "dev.text", "testing"),
        ("train/deep/one.py", "validation/two.py", "TEST.txt"),
        ("train-00000-of-00001.txt", "validation-00000-of-00001.txt", "test_0.txt"),
    ],
    ids=" ".join,
)
def test_own_splits_are_kept(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for letter, name in zip("abc", names, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(letter * 30)
    (tmp_path / "._train.txt").write_bytes(b"\xff")
    (tmp_path / "__MACOSX").mkdir()
    assert read_letters(tmp_path) == ["a", "b", "c"]
    assert read(tmp_path)[0].info["notes"] == []


def test_shards_are_parts_of_a_split(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"train-{number:05}.txt").write_text(chr(65 + number) * 30)
    (tmp_path / "dev.txt").write_text("x" * 30)
    (tmp_path / "README.md").write_text("No text of a split.")
    assert read_letters(tmp_path) == ["ABCDEFGHIJKL", "x", "x"]
    notes = read(tmp_path)[0].info["notes"]
    assert notes[0] == "left out beside the splits: README.md"
    assert notes[1:] == ["there is no test split: the validation split is tested, too"]


def test_without_validation_a_tenth_of_the_training_text_validates(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a" * 270 + "b" * 30)
    (tmp_path / "test.txt").write_text("c" * 30)
    assert read_letters(tmp_path) == ["a", "b", "c"]
    assert "a tenth" in read(tmp_path)[0].info["notes"][0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train.txt", "training.txt", "val.txt"], "more than one train split"),
        (["train.txt", "val.txt", "valid/a.txt"], "more than one val split"),
        (["train.txt", "notes.txt"], "the split train alone"),
        (["train.txt", "train-extra.txt", "val.txt"], r"is train-extra\.txt a split"),
        (["train.txt", "val.txt", "test.txt.gz"], r"is test\.txt\.gz a split"),
        (["wiki/wiki.train.tokens", "wiki/wiki.test.tokens", "a.txt"], "wiki holds splits"),
        (["wiki/train/a.txt", "wiki/dev/b.txt"], "wiki holds splits"),
        (["cover.png", "book.pdf"], r"holds no text.*1 x \.pdf file, 1 x \.png file"),
        ([], "holds no text"),
    ],
    ids=str,
)
def test_what_is_no_clear_data_set_is_named(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("words " * 30)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_what_is_no_text_is_left_out_and_counted(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text("words and more words\n" * 60)
    (tmp_path / "cover.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "lost.txt").symlink_to(tmp_path / "nowhere")
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.txt").write_bytes(b"\xff")
    splits = read(tmp_path)
    assert splits[0].info["notes"] == [
        "left out: 1 x .png file, 1 x broken link, 1 x empty file, 3 x hidden folder"
    ]
    sizes = [len(split) for split in splits]
    assert sizes == [(10 * 1261 - 2) // 10, 125, 125]


def test_a_point_makes_no_split_without_a_training_split(tmp_path: Path) -> None:
    (tmp_path / "box.js").write_text("a" * 300)
    (tmp_path / "box.test.js").write_text("b" * 300)
    assert read_letters(tmp_path) == ["ab", "b", "b"]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("a" * 300)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert read_letters(tmp_path / "data") == ["a", "a", "a"]
    assert len(read(tmp_path / "data")[0]) == 23


def test_a_mark_at_the_beginning_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffwords and more words 😀\r\n" * 300, encoding="utf-8")
    train, _, _ = read(tmp_path)
    inputs, _ = train[0]
    assert bytes(inputs.tolist()) == b"words and "


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"cannot read .*own\.txt"),
        (b"", r"own\.txt is empty"),
        (b"caf\xe9 " * 100, r"own\.txt, byte 3: not text in UTF-8"),
        ("word ".encode("utf-16") * 100, r"own\.txt, byte 0: not text in UTF-8"),
        ("word ".encode("utf-16-le") * 100, r"own\.txt, byte 1: .* zero byte"),
        (b"word " * 50_000 + b"\xe4", r"own\.txt, byte 250000: .* unexpected end"),
        (b"line\n" * 50_000 + b"\xff" + b"line\n" * 50_000, r"own\.txt, byte 250000: "),
        (b"short", "the train text of 5 tokens is too short"),
    ],
    ids=str,
)
def test_own_text_that_is_wrong_is_named(
    tmp_path: Path, cache: Path, data: bytes | None, message: str
) -> None:
    path = tmp_path / "own.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        read(path)
    assert not list(cache.glob("*.tmp.*"))


@pytest.mark.parametrize("text", ["😀é", "a line 漢字\n", "x"], ids=["no lines", "lines", "ASCII"])
@pytest.mark.parametrize("shift", range(4))
def test_chunks_divide_no_character(tmp_path: Path, text: str, shift: int) -> None:
    path = tmp_path / "a.txt"
    text = "y" * shift + text * (3 * CHUNK // len(text.encode()))
    path.write_text(text, encoding="utf-8")
    chunks = list(read_chunks([get_piece(path)]))
    assert "".join(chunks) == text and len(chunks) > 2
    assert max(len(chunk.encode()) for chunk in chunks) < 2 * CHUNK
    splits, _ = find_texts(path)
    assert "".join("".join(read_chunks(pieces)) for pieces in splits.values()) == text


# ---------------------------------------------------------------------------- files of tokens


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_tokens_are_made_once_and_mapped(tmp_path: Path, cache: Path, tokenizer: str) -> None:
    (tmp_path / "a.txt").write_text("one token, two tokens\n" * 5000)
    options = ("--tokenizer", tokenizer)
    train, _, _ = read(tmp_path, *options)
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*.[bj]*")}
    assert len(made) == (3 if tokenizer == "bytes" else 4)
    storage = train.tensors[0].untyped_storage()
    assert storage.nbytes() in [path.stat().st_size for path in made]  # windows are views
    if Path("/proc/self/maps").exists():
        maps = Path("/proc/self/maps").read_text()
        assert f"{storage.data_ptr():x}-" in maps and str(cache) in maps

    again, _, _ = read(tmp_path, *options)
    assert torch.equal(train.tensors[0], again.tensors[0]) and train.info == again.info
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.[bj]*")} == made
    (tmp_path / "a.txt").write_text("one other, two others\n" * 5000)
    changed, _, _ = read(tmp_path, *options)
    assert not torch.equal(train.tensors[0], changed.tensors[0])


def test_runs_that_need_the_same_tokens_wait_for_each_other(cache: Path) -> None:
    written = []

    def write(path: Path) -> None:
        written.append(path)
        path.write_text("tokens")

    threads = [threading.Thread(target=make_once, args=(cache / "a.bin", write)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1 and (cache / "a.bin").read_text() == "tokens"


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = make_text(tmp_path / "a.txt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a.txt"))
    with pytest.raises(UserError, match=r"cannot write .*tokens.*: Not a dir.*XDG_CACHE_HOME"):
        DATASETS["text"](args)


def test_a_full_disk_is_named(cache: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*No space left.*XDG_CACHE_HOME"):
        make_once(cache / "a.bin", write)
    assert [path.name for path in cache.iterdir()] == ["a.lock"]


def test_subwords_are_learned_from_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("ab😀\n" * 100_000)
    for number in range(40):
        (tmp_path / f"small{number}.txt").write_text("words " * 1000)
    pieces, _ = find_texts(tmp_path)
    assert take_sample(pieces["train"]) == pieces["train"]
    monkeypatch.setattr("{{ cookiecutter.project_slug }}.engine.tokens.SAMPLE", 2 * CHUNK)
    sample = take_sample(pieces["train"])
    text = "".join(read_chunks(sample))
    assert CHUNK < len(text.encode()) < 3 * CHUNK and "😀" in text


def test_the_tokenizer_of_a_checkpoint_is_used_to_evaluate(tmp_path: Path) -> None:
    saved = learn_subwords(["the text of the training"], 270)
    path = tmp_path / "best.pt"
    torch.save(make_checkpoint({"tokenizer": saved}), path)
    (tmp_path / "a.txt").write_text("other text that is tested " * 100)
    args = parse_arguments(["--tokenizer", "bpe", "--context", "10", "--device", "cpu"])
    args.data_dir = tmp_path / "a.txt"
    assert DATASETS["text"](args)[0].info["tokenizer"] != saved
    args.evaluate = path
    assert DATASETS["text"](args)[0].info["tokenizer"] == saved


def make_checkpoint(info: dict[str, str]) -> dict[str, object]:
    """Return what a checkpoint holds."""
    logger = {"interval": {}, "epoch": {}, "numbers": {}, "seconds": 0.0, "drawing_seconds": 0.0}
    config = {"name": "gpt", "arguments": {}, "info": info}
    parts = {"model": {}, "ema_model": {}, "model_config": config, "logger": logger}
    return {**parts, "epoch": 0, "step": 0, "random": []}
