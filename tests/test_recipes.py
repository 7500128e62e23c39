"""Every recipe of docs/recipes.md is carried out: its lines are counted, and its effect is seen."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checking import check_style, check_types
from PIL import Image
from recipes import (
    CODE,
    carry_out,
    commit,
    count_changes,
    read_chapters,
    read_steps,
    read_table,
)
from rendering import render
from running import (
    FAST,
    PROGRAMS,
    python,
    read_checkpoint,
    read_records,
    records,
    rest_is_full,
    run,
    step_losses,
)

CHAPTERS = read_chapters()
TASKS = {  # but for image classification
    "Samples of different lengths": "language_modeling",
    "Hugging Face: data set, tokenizer and model": "language_modeling",
    "A second optimizer: a GAN": "image_generation",
}
BUDGET = {  # lines added and files changed, at most
    "Log the gradient norm": (3, 1),
    "Log a component of the loss": (1, 1),
    "Dictionary batches": (6, 3),
    "Samples of different lengths": (15, 2),
    "Streaming data": (15, 2),
    "Transforms of torchvision": (5, 1),
    "A second optimizer: a GAN": (45, 3),
    "A model of timm": (12, 2),
    "A frozen backbone": (6, 1),
    "ReduceLROnPlateau": (6, 2),
    "Hugging Face: data set, tokenizer and model": (30, 3),
    "The best weights in a notebook": (3, 0),
}
HEAVY = ("A model of timm", "Hugging Face: data set, tokenizer and model")
# These change data or objective of the task, and with them what tests/test_task.py tests.
OTHER_TASK = ("Dictionary batches", "Samples of different lengths", HEAVY[1])
CPU = ["--device", "cpu", "--quiet", "--log-every", "1"]
WAYS = [("ddp", 1), ("ddp", 2), ("fsdp", 2)]  # backends, and the number of processes


def cook(title: str, folder: Path, backend: str = "ddp") -> Path:
    """Return a rendered project, committed to git, with the edits of a recipe."""
    task = TASKS.get(title, "image_classification")
    project = render({"task": task, "distributed": backend, "logger": "none"}, folder)
    commit(project)
    for step in read_steps(CHAPTERS[title]):
        if backend == "none" and "parallelize(" in step.code:
            codes = CODE.findall(CHAPTERS[title])
            (step.code,) = [code for code in codes if "discriminator.to(runtime" in code]
        carry_out(project, step)
    return project


def stop_and_resume(project: Path, run_dir: Path, *options: object, processes: int = 1) -> None:
    """Stop a run at the end of its second step, and resume it without its options."""
    command = [PROGRAMS / "interrupt.py", "SIGTERM", 2, 0, *options, "--run-dir", run_dir]
    code = 1 if processes > 1 else 128 + signal.SIGTERM  # torchrun has codes of its own
    python(project, *command, processes=processes, code=code)
    run(project, "--resume", "--run-dir", run_dir, processes=processes)


def same_state(one: Path, other: Path) -> bool:
    """Return whether two runs ended with the same state, bit for bit; the random states aside."""
    saved, others = read_checkpoint(one), read_checkpoint(other)
    names = saved.keys() - {"random", "logger"}
    assert saved.keys() == others.keys() and len(names) > 8
    return all(same_values(saved[name], others[name]) for name in names)


def same_values(one: object, other: object) -> bool:
    """Return whether two nests hold the same values."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        same = all(same_values(one[name], other[name]) for name in one.keys() & other.keys())
        return same and one.keys() == other.keys()
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=True)
        return len(one) == len(other) and all(same_values(*pair) for pair in pairs)
    return one == other


# ------------------------------------------------------------------------------ lines and files


@pytest.mark.parametrize("backend", rest_is_full(["ddp", "fsdp", "none"]))
def test_recipes_stay_within_their_budget(tmp_path, record_property, backend):
    """Also: the table of docs/recipes.md is right, and ruff accepts each edited project."""
    rows = ["recipe                                       lines  budget  files  budget"]
    table = read_table()
    assert list(table) == list(CHAPTERS) and BUDGET.keys() <= CHAPTERS.keys()
    for title, (link, lines, files) in table.items():
        project = cook(title, tmp_path / link, backend)
        found = count_changes(project)
        if not read_steps(CHAPTERS[title]):  # lines for a notebook
            (code,) = CODE.findall(CHAPTERS[title])
            found = (len([line for line in code.splitlines() if line]), 0)
        most = BUDGET.get(title, found)
        rows.append(f"{title:<43} {found[0]:>6} {most[0]:>7} {found[1]:>6} {most[1]:>7}")
        if backend != "none":  # whose GAN has a line less
            assert found == (lines, files), title
        assert found[0] <= most[0] and found[1] <= most[1], title
        assert link == title.lower().replace(" ", "-").replace(":", "").replace(",", "")
        check_style(project)
    if backend == "ddp":
        record_property("table", "\n".join(rows))


@pytest.mark.full
def test_types_of_every_recipe(tmp_path):
    projects = []
    for number, title in enumerate(CHAPTERS):
        projects.append(cook(title, tmp_path / str(number)))
    check_types(projects, tmp_path / "types", tmp_path / "mypy")


@pytest.mark.parametrize(
    "title", rest_is_full(title for title in CHAPTERS if title not in HEAVY), ids=str
)
def test_own_tests_stay_green(tmp_path, title):
    """Those of the engine after every recipe, and those of the task if it is the same task."""
    project = cook(title, tmp_path)
    if title == "Options":  # without the one that is required
        path = project / "my_project" / "utils.py"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "required=True" not in line))
    tests = "tests/test_run.py" if title in OTHER_TASK else "tests"
    out, _ = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    assert " passed" in out and " failed" not in out


# ---------------------------------------------------------------------------------- the effects


@pytest.mark.parametrize(("backend", "processes"), rest_is_full(WAYS))
def test_gradient_norm(tmp_path, backend, processes):
    """It is logged in each step, before clipping, and is that of all processes."""
    project = cook("Log the gradient norm", tmp_path, backend)
    run(project, *FAST, "--quick", "--run-dir", "runs/x")
    options = ["--grad-clip", "0.001", "--run-dir", "runs/clipped"]
    run(project, *FAST, "--quick", *options, processes=processes)
    first, *_, epoch, test = read_records(project / "runs" / "x")
    other = read_records(project / "runs" / "clipped")[0]
    assert first["step/grad_norm"] > 0 and epoch["train/grad_norm"] > 0
    assert "test/grad_norm" not in test
    assert other["step/grad_norm"] == pytest.approx(first["step/grad_norm"], rel=1e-4)


def test_component_of_the_loss(tmp_path):
    project = cook("Log a component of the loss", tmp_path)
    run(project, *CPU, "--quick", "--run-dir", "runs/x")
    first, *_, epoch, test = read_records(project / "runs" / "x")
    assert 0 < first["step/cross_entropy"] != first["step/loss"] > 0
    assert epoch["train/cross_entropy"] != epoch["train/loss"]
    assert epoch["val/cross_entropy"] == pytest.approx(epoch["val/loss"])
    assert test["test/cross_entropy"] == pytest.approx(test["test/loss"])


def make_images(folder: Path) -> None:
    """Make the splits of an image folder with two classes."""
    for split in ("train", "val", "test"):
        for number, name in enumerate(("blue", "red")):
            (folder / split / name).mkdir(parents=True)
            for width in range(16, 24):
                image = Image.new("RGB", (width, 16), (200 * number, 0, 200 - 200 * number))
                image.save(folder / split / name / f"{width}.png")


def test_dictionary_batches(tmp_path):
    """The same run as with tuples, and with the batches split."""
    project = cook("Dictionary batches", tmp_path)
    make_images(tmp_path / "images")
    options = [*FAST, "--quick", "--dataset", "image_folder", "--data-dir", tmp_path / "images"]
    options += ["--image-size", "16", "--workers", "1", "--batch-size", "8"]
    run(project, *options, "--run-dir", "runs/x")
    run(project, *options, "--run-dir", "runs/parts", "--grad-accum", "2")
    losses = step_losses(project / "runs" / "x")
    assert step_losses(project / "runs" / "parts") == pytest.approx(losses, rel=1e-4)
    assert (project / "runs" / "x" / "predictions.png").exists()
    run(project, *FAST, "--quick", "--run-dir", "runs/tuples")
    run(project, "--evaluate", "runs/x/checkpoints/best.pt", "--quiet")


@pytest.mark.parametrize(("backend", "processes"), rest_is_full(WAYS))
def test_samples_of_different_lengths(tmp_path, backend, processes):
    """The loss is the mean over all tokens of a batch, however it is split."""
    project = cook("Samples of different lengths", tmp_path, backend)
    options = [*CPU, "--batch-size", "16", "--epochs", "2", "--steps-per-epoch", "3"]
    run(project, *options, "--run-dir", "runs/x")
    parts = ["--grad-accum", "2", "--run-dir", "runs/parts"]
    run(project, *options, *parts, processes=processes)
    whole = read_records(project / "runs" / "x")
    split = read_records(project / "runs" / "parts")
    assert len(whole) == len(split) == 2 * 3 + 1
    for one, other in zip(whole, split, strict=True):
        for name in one.keys() & {"step/loss", "train/loss", "val/loss", "test/perplexity"}:
            assert other[name] == pytest.approx(one[name], rel=1e-4), name
    assert whole[-1]["test/perplexity"] == pytest.approx(
        torch.tensor(whole[-1]["test/loss"]).exp().item(), rel=1e-4
    )
    assert {"sample.txt", "surprise.png"} <= {path.name for path in (project / "runs/x").iterdir()}


def write_rows(folder: Path) -> None:
    """Write digits as rows of a label and 64 values."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = []
    for image, label in zip(images[:500], labels[:500], strict=True):
        rows.append(",".join(str(value) for value in (label, *(image / 8 - 1))))
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(("backend", "processes"), rest_is_full(WAYS))
def test_streaming_data(tmp_path, backend, processes):
    """It learns over several passes, and a resumed run continues the stream."""
    project = cook("Streaming data", tmp_path, backend)
    write_rows(tmp_path / "rows")
    options = [*FAST, "--dataset", "csv", "--data-dir", tmp_path / "rows", "--epochs", "3"]
    options += ["--steps-per-epoch", "7"]
    run(project, *options, "--run-dir", "runs/x", processes=processes)
    stop_and_resume(project, Path("runs/parts"), *options, processes=processes)
    assert records(project / "runs" / "parts") == records(project / "runs" / "x")
    assert read_records(project / "runs" / "x")[-1]["test/accuracy"] > 0.5


def test_transforms_of_torchvision(tmp_path):
    """They change the training images, in the same way in a worker."""
    project = cook("Transforms of torchvision", tmp_path)
    options = [*FAST, "--quick", "--workers"]
    run(project, *options, "0", "--augment", "--run-dir", "runs/x")
    run(project, *options, "1", "--augment", "--run-dir", "runs/worker")
    run(project, *options, "0", "--run-dir", "runs/plain")
    losses = step_losses(project / "runs" / "x")
    assert step_losses(project / "runs" / "worker") == losses
    assert all(map(float.__ne__, step_losses(project / "runs" / "plain"), losses))


@pytest.mark.parametrize(("backend", "processes"), rest_is_full([*WAYS, ("none", 1)]))
def test_gan(tmp_path, backend, processes):
    """Both networks learn, and both are saved, resumed and averaged over processes."""
    project = cook("A second optimizer: a GAN", tmp_path, backend)
    options = [*CPU, "--quick", "--width", "8", "--ema", "0.9"]
    options += ["--optimizer", "sgd", "--lr", "0.1"]  # Adam makes much of the smallest differences
    run(project, *options, "--run-dir", "runs/one")
    run(project, *options, "--run-dir", "runs/x", processes=processes)
    stop_and_resume(project, Path("runs/parts"), *options, processes=processes)
    found = records(project / "runs" / "x")
    assert records(project / "runs" / "parts") == found
    assert same_state(project / "runs" / "x", project / "runs" / "parts")
    expected = records(project / "runs" / "one")
    for name in ("train/loss", "train/d_loss"):
        assert found[-2][name] == pytest.approx(expected[-2][name], rel=1e-4)
        assert found[-2][name] != found[2][name]
    one, other = (read_checkpoint(project / "runs" / name) for name in ("one", "x"))
    assert one["discriminator"].keys() == other["discriminator"].keys()
    for name, tensor in one["discriminator"].items():
        torch.testing.assert_close(other["discriminator"][name], tensor, atol=1e-4, rtol=0)
    assert other["d_optimizer"]["state"].keys() == set(range(len(one["discriminator"]) - 1))
    run(project, "--evaluate", "runs/x/checkpoints/best.pt", "--quiet")


@pytest.mark.full
@pytest.mark.parametrize(("backend", "processes"), WAYS)
def test_model_of_timm(tmp_path, backend, processes):
    """It is trained from weights in a folder; the checkpoint then does without them."""
    timm = pytest.importorskip("timm")
    project = cook("A model of timm", tmp_path, backend)
    weights = timm.create_model("efficientnet_b0")
    timm.models.save_for_hf(weights, tmp_path / "timm", safe_serialization=True)
    replace_names(project, {"efficientnet_b0.ra_in1k": f"local-dir:{tmp_path / 'timm'}"})
    if backend == "fsdp":
        add_blocks(project, "timm.models._efficientnet_blocks", "InvertedResidual")
    make_images(tmp_path / "images")
    options = [*CPU, "--quick", "--dataset", "image_folder", "--data-dir", tmp_path / "images"]
    options += [
        "--image-size",
        "32",
        "--workers",
        "0",
        "--model",
        "efficientnet_b0",
        "--pretrained",
    ]
    options += ["--lr", "1e-9", "--weight-decay", "0", "--run-dir", "runs/x"]
    run(project, *options, processes=processes)
    shutil.rmtree(tmp_path / "timm")
    trained = read_checkpoint(project / "runs" / "x")["model"]
    assert trained["classifier.weight"].shape[0] == 2
    for name in ("conv_stem.weight", "blocks.6.0.conv_pw.weight", "conv_head.weight"):
        torch.testing.assert_close(trained[name], weights.state_dict()[name], atol=1e-6, rtol=0)
    run(project, "--evaluate", "runs/x/checkpoints/best.pt", "--run-dir", "runs/again", "--quiet")
    test = read_records(project / "runs" / "x")[-1]["test/loss"]
    assert read_records(project / "runs" / "again")[-1]["test/loss"] == pytest.approx(
        test, rel=1e-4
    )
    if processes == 1:
        predict_and_export(project, tmp_path / "images" / "test")
        out, _ = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
        assert " passed" in out and " failed" not in out


def predict_and_export(project: Path, *inputs: object, **environment: object) -> None:
    """Check that a model of another library is predicted with, and exported in all formats."""
    python(project, "predict.py", "runs/x", *inputs, "--device", "cpu", **environment)
    out, _ = python(project, "export.py", "runs/x", *inputs, **environment)
    differences = re.findall(r"model\.(\w+): ([\d.e+-]+) is the largest", out)
    assert [name for name, _ in differences] == ["safetensors", "pt2", "onnx"]
    assert all(float(difference) < 1e-3 for _, difference in differences), out


@pytest.mark.parametrize(("backend", "processes"), rest_is_full(WAYS))
def test_frozen_backbone(tmp_path, backend, processes):
    """Runs with other learning rates differ in the last layer alone."""
    project = cook("A frozen backbone", tmp_path, backend)
    saved = []
    for lr in ("0.001", "0.01"):
        options = ["--lr", lr, "--run-dir", f"runs/{lr}"]
        run(project, *FAST, "--quick", *options, processes=processes)
        saved.append(read_checkpoint(project / "runs" / lr))
    differing = []
    for name, tensor in saved[0]["model"].items():
        if not torch.equal(tensor, saved[1]["model"][name]):
            differing.append(name)
    assert differing == list(saved[0]["model"])[-2:]
    groups = saved[1]["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == [0.01, 0.01, 0.1]
    run(project, "--resume", "--run-dir", "runs/0.01", processes=processes)


def test_reduce_lr_on_plateau(tmp_path):
    """A learning rate that is far too small falls further, in a resumed run as well."""
    project = cook("ReduceLROnPlateau", tmp_path)
    options = [*FAST, "--lr", "1e-7", "--epochs", "6", "--steps-per-epoch", "2"]
    options += ["--warmup-ratio", "0.2", "--ema", "0.9"]
    run(project, *options, "--run-dir", "runs/x")
    stop_and_resume(project, Path("runs/parts"), *options)
    assert same_state(project / "runs" / "x", project / "runs" / "parts")
    assert records(project / "runs" / "x") == records(project / "runs" / "parts")
    found = read_records(project / "runs" / "x")
    rates = [record["train/lr"] for record in found if record["event"] == "epoch"]
    assert rates[0] < 0.9e-7  # of the warm-up
    assert rates[1:3] == [pytest.approx(1e-7)] * 2 and rates[5] == pytest.approx(1e-8)


def make_hub(folder: Path) -> dict[str, str]:
    """Make a small data set, tokenizer and model; return their names for those of the recipe."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    text = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(text.splitlines(keepends=True), vocab_size=400)
    PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer).save_pretrained(folder / "gpt")
    config = GPT2Config(vocab_size=400, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder / "gpt")
    data = folder / "data"
    data.mkdir()
    for split in ("train", "validation", "test"):
        (data / f"{split}.txt").write_text(text[:20_000])
    return {
        '"Salesforce/wikitext", "wikitext-2-raw-v1"': f'"{data}"',
        "openai-community/gpt2": str(folder / "gpt"),
    }


def replace_names(project: Path, names: dict[str, str]) -> None:
    """Replace names on the Hub, each of which occurs once, by those of local folders."""
    for name, local in names.items():
        changed = 0
        for path in (project / "my_project").glob("*.py"):
            text = path.read_text()
            changed += text.count(name)
            path.write_text(text.replace(name, local))
        assert changed == 1, name


def add_blocks(project: Path, module: str, name: str) -> None:
    """Add the class of a library's blocks to BLOCKS, as the recipes say for FSDP."""
    path = project / "my_project" / "models.py"
    text = re.sub(
        r"^(BLOCKS = \([^)]*?),?\)", rf"\1, {name})", path.read_text(), flags=re.MULTILINE
    )
    text = text.replace("from torch import", f"from {module} import {name}\nfrom torch import", 1)
    assert text.count(name) == 2
    path.write_text(text)


@pytest.mark.full
@pytest.mark.parametrize(("backend", "processes"), WAYS)
def test_hugging_face(tmp_path, backend, processes):
    """Data set, tokenizer and model are read from folders, without a network."""
    for name in ("datasets", "transformers", "tokenizers"):
        pytest.importorskip(name)
    project = cook("Hugging Face: data set, tokenizer and model", tmp_path, backend)
    replace_names(project, make_hub(tmp_path))
    if backend == "fsdp":
        add_blocks(project, "transformers.models.gpt2.modeling_gpt2", "GPT2Block")
    offline = {"HF_HOME": tmp_path / "cache", "HF_HUB_OFFLINE": 1}
    options = [*CPU, "--quick", "--model", "pretrained", "--dataset", "wikitext"]
    options += ["--run-dir", "runs/x", "--ema", "0.9"]
    run(project, *options, processes=processes, **offline)
    run(project, "--evaluate", "runs/x/checkpoints/best.pt", "--run-dir", "runs/again", **offline)
    test = read_records(project / "runs" / "x")[-1]["test/loss"]
    again = read_records(project / "runs" / "again")[-1]["test/loss"]
    assert again == pytest.approx(test, rel=1e-5) and test > 0
    assert "transformer.h.1.mlp.c_fc.weight" in read_checkpoint(project / "runs" / "x")["model"]
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "cell.py").write_text(
        "import torch\n"
        "from my_project.utils import load_model\n"
        "model, info = load_model('runs/x/checkpoints/best.pt')\n"
        "assert model(torch.tensor([[1, 2]])).shape == (1, 2, len(info['vocabulary']))\n"
    )
    python(project, tmp_path / "cell.py", **offline)
    if processes == 1:
        (tmp_path / "prompt.txt").write_text("the first words of a text, which is long enough")
        predict_and_export(project, tmp_path / "prompt.txt", **offline)
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_run.py"]
        out, _ = python(project, *command, **offline)
        assert " passed" in out and " failed" not in out


def make_reviews(folder: Path) -> dict[str, str]:
    """Make own texts, a tokenizer and an encoder; return the encoder's name, as `replace_names`."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    (folder / "reviews").mkdir()
    rows = ["text,label", *["a good film,good", "not a good film,bad", "good,good"] * 33]
    for split in ("train", "val", "test"):
        (folder / "reviews" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "not", "good", "film"]
    (folder / "bert").mkdir()
    (folder / "bert" / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "bert" / "vocab.txt")).save_pretrained(folder / "bert")
    size = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16, "pad_token_id": 1}
    config = BertConfig(vocab_size=len(words), num_attention_heads=2, **size)
    BertForSequenceClassification(config).save_pretrained(folder / "bert")
    return {"distilbert/distilbert-base-uncased": str(folder / "bert")}


@pytest.mark.full
@pytest.mark.parametrize(("backend", "processes"), [*WAYS, ("none", 1)])
def test_hugging_face_encoder(tmp_path, backend, processes):
    """The chapter in the README of text classification; "not" tells the reviews apart."""
    for name in ("transformers", "tokenizers"):
        pytest.importorskip(name)
    task = {"task": "text_classification", "distributed": backend, "logger": "none"}
    project = render(task, tmp_path)
    commit(project)
    for step in read_steps(
        read_chapters(project / "README.md")["A pretrained encoder of Hugging Face"]
    ):
        carry_out(project, step)
    lines, files = count_changes(project)
    assert lines <= 30 and files == 3
    check_style(project)
    replace_names(project, make_reviews(tmp_path))
    if backend == "fsdp":
        add_blocks(project, "transformers.models.bert.modeling_bert", "BertLayer")
    offline = {"HF_HOME": tmp_path / "cache", "HF_HUB_OFFLINE": 1}
    data = [
        "--dataset",
        "csv",
        "--data-dir",
        tmp_path / "reviews",
        "--other-data",
        "--max-length",
        "8",
    ]
    options = [*CPU, *data, "--model", "pretrained", "--no-augment", "--batch-size", "10"]
    options += ["--lr", "0.01", "--epochs", "5", "--run-dir", "runs/x"]
    run(project, *options, processes=processes, **offline)
    assert read_records(project / "runs" / "x")[-1]["test/accuracy"] == 1
    assert "model.classifier.weight" in read_checkpoint(project / "runs" / "x")["model"]
    run(project, *CPU, *data, "--quick", "--run-dir", "runs/own")  # with a model of the project
    if processes == 1:
        predict_and_export(project, tmp_path / "reviews" / "test.csv", **offline)


def test_options(tmp_path):
    """One of each kind of argparse, resumed and evaluated without typing them again."""
    import json

    project = cook("Options", tmp_path)
    typed = "--freeze --cutmix --milestones 3 5 7 --crop 6 7 --tag a --tag b --depth 50 --ls 0.3"
    typed += " --teacher runs/t.pt --author me"
    expected = {
        "freeze": True,
        "cutmix": True,
        "milestones": [3, 5, 7],
        "crop": [6, 7],
        "tag": ["a", "b"],
        "depth": 50,
        "smoothing": 0.3,
        "teacher": "runs/t.pt",
        "author": "me",
    }
    _, err = run(project, *FAST, "--quick", code=2)
    assert "--author" in err
    run(project, *FAST, "--quick", *typed.split(), "--run-dir", "runs/x")
    run(project, "--resume", "--run-dir", "runs/x")
    best = "runs/x/checkpoints/best.pt"
    run(project, "--evaluate", best, "--run-dir", "runs/again")
    run(project, "--config", "runs/x/config.json", "--lr", "0.1", "--run-dir", "runs/other")
    for name in ("x", "again", "other"):
        saved = json.loads((project / "runs" / name / "config.json").read_text())
        assert {option: saved[option] for option in expected} == expected
    _, err = run(project, "--resume", "--run-dir", "runs/x", "--depth", "18", code=2)
    assert "--depth" in err


def test_best_weights_in_a_notebook(tmp_path):
    """In another folder, and without the data."""
    project = cook("The best weights in a notebook", tmp_path)
    run(project, *FAST, "--quick", "--run-dir", "runs/digits")
    (tmp_path / "notebook").mkdir()
    shutil.move(project / "runs", tmp_path / "notebook")
    (code,) = CODE.findall(CHAPTERS["The best weights in a notebook"])
    cells = "import torch\nimages = torch.zeros(5, 1, 8, 8)\n" + code
    cells += "assert logits.shape == (5, len(info['classes'])) and not model.training\n"
    cells += "import sys\nassert 'sklearn' not in sys.modules\n"
    (tmp_path / "notebook" / "cells.py").write_text(cells)
    words = [sys.executable, "cells.py"]
    environment = {"PYTHONPATH": str(project), "PATH": ""}
    subprocess.run(words, cwd=tmp_path / "notebook", env=environment, check=True)


def test_figures_as_pdf(tmp_path):
    project = cook("Figures as PDF", tmp_path)
    run(project, *FAST, "--quick", "--run-dir", "runs/x")
    for name in ("curves", "predictions", "confusion_matrix"):
        assert (project / "runs" / "x" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (project / "runs" / "x" / f"{name}.png").exists()
