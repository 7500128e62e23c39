"""Saved options: every idiom of argparse through --config, --resume and --evaluate."""

import argparse
import enum
import importlib.util
import json
import os
import time
from argparse import BooleanOptionalAction
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = (
    Path(__file__).parents[1] / "{{cookiecutter.project_slug}}" / "{{cookiecutter.project_slug}}"
)


def load(path: Path) -> ModuleType:
    """Import a module of the template that contains no tags."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


options = load(FOLDER / "engine" / "options.py")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(argparse.Action):
    """An action of one's own: --pair key=value."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        key, _, value = values.partition("=")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), key: value})


def percent(text: str) -> float:
    return float(text) / 100


def whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def one(*flags: str, **keywords: Any) -> Callable[[argparse.ArgumentParser], None]:
    """Return what adds one option to a parser."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(*flags, **keywords)

    return add


def two_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sgd", dest="kind", action="store_const", const="sgd", default="adam")
    parser.add_argument("--lion", dest="kind", action="store_const", const="lion")


def on_and_off(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flip", dest="flip", action="store_true", default=True)
    parser.add_argument("--no-flip", dest="flip", action="store_false")


def constants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flip", dest="augment", action="append_const", const="flip")
    parser.add_argument("--crop", dest="augment", action="append_const", const="crop")


def exclusive(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--steps", type=int)
    group.add_argument("--hours", type=float)


def nothing(_: argparse.ArgumentParser) -> None:
    """Add no option."""


def without_flag(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(layout="flat")


# An option, what is typed, the value that it has then, and what --config is overridden with.
IDIOMS: dict[str, tuple[Callable, str, dict[str, Any], str]] = {
    "plain": (one("--name", default="a"), "--name b", {"name": "b"}, "--name a"),
    "dash": (one("--name"), "--name=-b", {"name": "-b"}, "--name c"),
    "int": (one("--size", type=int, default=1), "--size 3", {"size": 3}, "--size 1"),
    "negative": (one("--shift", type=int), "--shift -3", {"shift": -3}, "--shift 2"),
    "float": (one("--lr", type=float, default=1), "--lr 1e-3", {"lr": 1e-3}, "--lr 1"),
    "infinite": (one("--clip", type=float), "--clip inf", {"clip": float("inf")}, "--clip 1"),
    "number": (
        one("--depth", type=options.number(int, 1, 9), default=2),
        "--depth 3",
        {"depth": 3},
        "--depth 2",
    ),
    "path": (one("--out", type=Path, default="a"), "--out b/c", {"out": Path("b/c")}, "--out a"),
    "choices": (one("--mode", choices=("a", "b")), "--mode b", {"mode": "b"}, "--mode a"),
    "number choices": (
        one("--bits", type=int, choices=(8, 16)),
        "--bits 8",
        {"bits": 8},
        "--bits 16",
    ),
    "enum": (
        one("--color", type=Color, choices=list(Color), default=Color.RED),
        "--color blue",
        {"color": Color.BLUE},
        "--color red",
    ),
    "percent": (one("--drop", type=percent), "--drop 50", {"drop": 0.5}, "--drop 20"),
    "lower": (one("--name", type=str.lower), "--name ABC", {"name": "abc"}, "--name D"),
    "exclaim": (one("--name", type="{}!".format), "--name a", {"name": "a!"}, "--name b"),
    "split": (
        one("--sizes", type=whole_numbers, default=[1]),
        "--sizes 1,2",
        {"sizes": [1, 2]},
        "--sizes 1",
    ),
    "dest": (
        one("--wd", dest="weight_decay", type=float),
        "--wd 0.1",
        {"weight_decay": 0.1},
        "--wd 1",
    ),
    "short": (one("-k", "--top-k", type=int), "-k 5", {"top_k": 5}, "-k 1"),
    "required": (one("--task", required=True), "--task a", {"task": "a"}, "--task b"),
    "exclusive": (exclusive, "--steps 3", {"steps": 3, "hours": None}, "--steps 4"),
    "store_true": (one("--freeze", action="store_true"), "--freeze", {"freeze": True}, "--freeze"),
    "store_true, not": (one("--freeze", action="store_true"), "", {"freeze": False}, "--freeze"),
    "store_false": (
        one("--no-flip", dest="flip", action="store_false"),
        "--no-flip",
        {"flip": False},
        "--no-flip",
    ),
    "store_const": (two_flags, "--lion", {"kind": "lion"}, "--sgd"),
    "function": (
        one("--sum", dest="reduce", action="store_const", const=sum, default=max),
        "--sum",
        {"reduce": sum},
        "--sum",
    ),
    "on and off": (on_and_off, "--no-flip", {"flip": False}, "--flip"),
    "switch": (one("--ema", action=BooleanOptionalAction), "--ema", {"ema": True}, "--no-ema"),
    "switch off": (
        one("--amp", action=BooleanOptionalAction, default=True),
        "--no-amp",
        {"amp": False},
        "--amp",
    ),
    "count": (one("-v", dest="verbose", action="count"), "-vv", {"verbose": 2}, "-v"),
    "count from": (
        one("--more", action="count", default=1),
        "--more",
        {"more": 2},
        "--more --more",
    ),
    "append": (one("--tag", action="append"), "--tag a --tag b", {"tag": ["a", "b"]}, "--tag c"),
    "append to": (
        one("--size", action="append", type=int, default=[1]),
        "--size 2",
        {"size": [1, 2]},
        "--size 3",
    ),
    "append lists": (
        one("--stage", action="append", nargs="+", type=int),
        "--stage 1 2 --stage 3",
        {"stage": [[1, 2], [3]]},
        "--stage 4",
    ),
    "append_const": (constants, "--crop --flip", {"augment": ["crop", "flip"]}, "--flip"),
    "extend": (
        one("--file", action="extend", nargs="+", type=Path),
        "--file a b --file c",
        {"file": [Path("a"), Path("b"), Path("c")]},
        "--file d",
    ),
    "one or more": (one("--dims", nargs="+", type=int), "--dims 1 2", {"dims": [1, 2]}, "--dims 3"),
    "any number": (one("--dims", nargs="*", type=int), "--dims", {"dims": []}, "--dims 3"),
    "any text": (one("--dims", nargs="*", default="all"), "", {"dims": "all"}, "--dims 3"),
    "two": (
        one("--betas", nargs=2, type=percent, metavar=("A", "B"), default=(0.9, 0.99)),
        "--betas 80 90",
        {"betas": [0.8, 0.9]},
        "--betas 1 2",
    ),
    "not two": (
        one("--betas", nargs=2, type=float, default=(0.9, 0.99)),
        "",
        {"betas": (0.9, 0.99)},
        "--betas 1 2",
    ),
    "optional": (
        one("--cache", nargs="?", type=Path, const=Path("here"), default=None),
        "--cache",
        {"cache": Path("here")},
        "--cache there",
    ),
    "no value": (one("--cache", nargs="?", default="x"), "--cache", {"cache": None}, "--cache y"),
    "positional": (one("source", type=Path), "a.csv", {"source": Path("a.csv")}, "b.csv"),
    "positional, optional": (
        one("source", nargs="?", type=int, default=1),
        "2",
        {"source": 2},
        "1",
    ),
    "positionals": (one("names", nargs="+"), "a b", {"names": ["a", "b"]}, "c"),
    "any positionals": (one("names", nargs="*", type=Path), "a", {"names": [Path("a")]}, "b c"),
    "no positionals": (one("names", nargs="*"), "", {"names": []}, "b c"),
    "own action": (
        one("--pair", action=Pair, default=None),
        "--pair a=1 --pair b=2",
        {"pair": {"a": "1", "b": "2"}},
        "--pair c=3",
    ),
    "suppressed": (
        one("--extra", default=argparse.SUPPRESS),
        "--extra a",
        {"extra": "a"},
        "--extra b",
    ),
    "set_defaults": (without_flag, "", {"layout": "flat"}, "--epochs 3"),
}


def new_parser(add: Callable[[argparse.ArgumentParser], None] = without_flag) -> Any:
    """Return a parser with the options of every project and those that `add` adds."""
    parser = options.Parser("main.py")
    parser.add_argument("--epochs", type=options.number(int, 1), default=10)
    parser.add_argument("--lr-max", type=options.number(float, 0, 1), default=0.1)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--resume", action=BooleanOptionalAction, default=False)
    parser.add_argument("--check-data", action=BooleanOptionalAction, default=False)
    parser.add_argument("--evaluate", type=Path)
    parser.add_argument("--init-from", type=Path)
    parser.add_argument("--config", type=Path)
    add(parser)
    return parser


def parse(*argv: object, add: Callable = without_flag) -> argparse.Namespace:
    return options.parse_with_saved_options(new_parser(add), list(map(str, argv)))


def save(args: argparse.Namespace, run_dir: Path) -> Path:
    """Make the run directory of a training run."""
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "checkpoints" / "best.pt").touch()
    (run_dir / "config.json").write_text(json.dumps(options.to_save(args)))
    return run_dir


def refused(capsys: pytest.CaptureFixture, *argv: object, add: Callable = without_flag) -> str:
    """Return the one line with which the command ends."""
    with pytest.raises(SystemExit) as ending:
        parse(*argv, add=add)
    assert ending.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.endswith(
        "; python main.py --help shows all options\n"
    )
    assert line.count("\n") == 1
    return line.removeprefix("error: ").rpartition("; python")[0]


def sources(run_dir: Path) -> list[list[object]]:
    """Return the options that bring the saved ones."""
    evaluate = ["--evaluate", run_dir / "checkpoints" / "best.pt"]
    return [["--config", run_dir / "config.json"], evaluate, ["--resume", "--run-dir", run_dir]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("idiom", IDIOMS)
def test_every_idiom_comes_back(folder, idiom):
    add, typed, expected, other = IDIOMS[idiom]
    args = parse(*typed.split(), add=add)
    assert {name: getattr(args, name) for name in expected} == expected
    run_dir = save(args, folder / "run")
    for source in sources(run_dir):
        again = parse(*source, add=add)
        assert {name: getattr(again, name) for name in expected} == expected
        assert list(map(type, map(vars(again).get, expected))) == list(map(type, expected.values()))
        assert again.defaults == args.defaults and again.changed == args.changed
        assert options.to_save(again) == options.to_save(args)
    for source in sources(run_dir)[:2]:
        overridden = parse(*source, *other.split(), add=add)
        plain = parse(*other.split(), add=add)
        assert {name: getattr(overridden, name) for name in expected} == {
            name: getattr(plain, name) for name in expected
        }


@pytest.mark.parametrize("idiom", IDIOMS)
def test_what_to_type_gives_the_same_options(idiom):
    add, typed, expected, _ = IDIOMS[idiom]
    args = parse(*typed.split(), add=add)
    if idiom in ("percent", "two", "enum", "exclaim", "own action"):
        return  # their text is not that of their value
    words = [word for words in args.changed.values() for word in words]
    again = parse(*words, add=add)
    assert {name: getattr(again, name) for name in expected} == expected
    assert "defaults" not in args.defaults and set(args.changed) <= {*args.defaults, *expected}


@pytest.mark.parametrize("idiom", IDIOMS)
def test_resume_takes_the_same_option_and_no_other(folder, capsys, idiom):
    add, typed, expected, other = IDIOMS[idiom]
    run_dir = save(parse(*typed.split(), add=add), folder / "run")
    again = parse("--resume", *typed.split(), "--run-dir", run_dir, add=add)
    assert {name: getattr(again, name) for name in expected} == expected
    if idiom not in ("store_true", "store_false", "function", "set_defaults"):  # have no other
        line = refused(capsys, "--resume", *other.split(), "--run-dir", run_dir, add=add)
        assert f": {run_dir} was started with " in line and "leave the option out" in line


def test_a_typed_option_excludes_a_saved_one(folder):
    run_dir = save(parse("--steps", 3, add=exclusive), folder / "run")
    for source in sources(run_dir)[:2]:
        args = parse(*source, "--hours", 2, add=exclusive)
        assert args.steps is None and args.hours == 2


def test_required_options_that_nobody_has_given(folder, capsys):
    run_dir = save(parse(add=nothing), folder / "run")
    required = one("--task", required=True)
    for source in ([], *sources(run_dir)):
        line = refused(capsys, *source, add=required)
        assert line == "the following arguments are required: --task"
        assert "one of the arguments" in refused(capsys, *source, add=exclusive)


def test_defaults_and_changed_options():
    args = parse("--epochs", 3, "--resume")
    assert args.defaults["epochs"] == 10 and args.defaults["resume"] is False
    assert args.changed == {"epochs": ["--epochs", "3"]}
    saved = {"epochs": 3, "lr_max": 0.1, "init_from": None, "layout": "flat"}
    assert options.to_save(args) == saved
    args.computed = 5  # what the program adds is no option
    assert "computed" not in options.to_save(args)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("0", "--epochs: 0 is too small, at least 1 is needed"),
        ("1.5", "--epochs: '1.5' is not a whole number"),
        ("ten", "--epochs: 'ten' is not a whole number"),
    ],
)
def test_numbers_that_are_refused(capsys, value, line):
    assert refused(capsys, "--epochs", value) == line


def test_limits_of_numbers(capsys):
    assert refused(capsys, "--lr-max", 1) == "--lr-max: 1.0 is too large, it must be below 1"
    assert refused(capsys, "--lr-max", "nan") == "--lr-max: nan is not a finite number"
    assert refused(capsys, "--lr-max", "1e999") == "--lr-max: inf is not a finite number"
    assert parse("--epochs", 10**400).epochs == 10**400


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ('{"epochs": 0}', "--epochs: 0 is too small, at least 1 is needed"),
        ('{"epochs": 2.5}', "--epochs: 2.5 is not a whole number"),
        ('{"epochs": true}', "--epochs: True is not a whole number"),
        ('{"epochs": null}', "--epochs: None is not a whole number"),
        ('{"epochs": [1]}', "--epochs: [1] is not a whole number"),
        ('{"epochs": "ten"}', "--epochs: 'ten' is not a whole number"),
        ('{"lr_max": NaN}', "--lr-max: nan is not a finite number"),
        ('{"mode": "c"}', "--mode: 'c' is not one of a, b"),
        ('{"sizes": 1}', "--sizes: 1 is not a list"),
        ('{"sizes": [1, "x"]}', "--sizes: 'x' is not a valid value"),
        ('{"sizes": [[1]]}', "--sizes: [1] is not a whole number"),
        ('{"freeze": "yes"}', "--freeze: 'yes' is not a possible value"),
        ('{"verbose": -1}', "--verbose: -1 is too small, at least 0 is needed"),
        ('{"out": 3}', "--out: 3 is not a Path"),
        ('{"out": ""}', "--out: a path is needed, not ''"),
        ('{"name": {}}', "--name: {} is not a text"),
        ('{"mixup": 0.2}', "'mixup' is no option here; remove it there"),
        ('{"resume": true}', "'resume' counts for one command alone; remove it there"),
        ('{"run_dir": "x"}', "'run_dir' counts for one command alone; remove it there"),
        ('{"config": "x"}', "'config' counts for one command alone; remove it there"),
        ('{"help": true}', "'help' is no option here; remove it there"),
    ],
)
def test_saved_options_that_are_refused(folder, capsys, saved, message):
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--mode", choices=("a", "b"))
        parser.add_argument("--sizes", nargs="+", type=int)
        parser.add_argument("--freeze", action="store_true")
        parser.add_argument("--verbose", action="count")
        parser.add_argument("--out", type=Path)
        parser.add_argument("--name")

    run_dir = save(parse(add=add), folder / "run")
    (run_dir / "config.json").write_text(saved)
    for source in (sources(run_dir)[0], sources(run_dir)[2]):
        assert refused(capsys, *source, add=add) == f"{run_dir / 'config.json'}: {message}"


def test_an_evaluation_ignores_options_that_have_been_removed(folder, capsys):
    run_dir = save(parse(), folder / "run")
    (run_dir / "config.json").write_text('{"epochs": 3, "mixup": 0.2, "resume": true}')
    args = parse(*sources(run_dir)[1])
    assert args.epochs == 3 and not args.resume and not hasattr(args, "mixup")
    assert f"{run_dir / 'config.json'}: 'mixup' is not an option" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "3", "\xff", '{"a":' * 100_000, ""])
def test_files_without_options(folder, capsys, text):
    run_dir = save(parse(), folder / "run")
    (run_dir / "config.json").write_text(text, encoding="latin-1")
    for source in sources(run_dir):
        assert f"cannot read the options in {run_dir / 'config.json'}: " in refused(capsys, *source)


def test_config_that_is_no_file(folder, capsys):
    assert "No such file" in refused(capsys, "--config", folder / "nothing.json")
    assert "is not a file" in refused(capsys, "--config", folder)
    os.mkfifo(folder / "pipe")
    assert "is not a file" in refused(capsys, "--config", folder / "pipe")


def test_resume_finds_the_newest_training_run(folder):
    assert parse("--resume").run_dir is None  # starts one
    for index, name in enumerate(("old", "new", "evaluation")):
        run_dir = save(parse("--lr-max", 0.2 + 0.1 * index), folder / "runs" / name)
        when = time.time() - 100 + index
        os.utime(run_dir / "config.json", (when, when))
    (folder / "runs" / "evaluation" / "checkpoints" / "best.pt").unlink()
    (folder / "runs" / "evaluation" / "checkpoints").rmdir()
    (folder / "runs" / "empty").mkdir()
    args = parse("--resume", "--epochs", 20)
    assert args.run_dir == Path("runs/new") and args.epochs == 20 and args.lr_max == 0.2 + 0.1


def test_resume_of_what_is_no_training_run(folder, capsys):
    assert parse("--resume", "--run-dir", "runs/next").run_dir == Path("runs/next")
    run_dir = save(parse(), folder / "run")
    (run_dir / "checkpoints" / "best.pt").unlink()
    (run_dir / "checkpoints").rmdir()
    line = refused(capsys, "--resume", "--run-dir", run_dir)
    assert line == f"--resume: {run_dir} is not a training run, it has no checkpoints"


def test_options_that_exclude_each_other(folder, capsys):
    run_dir = save(parse(), folder / "run")
    for name, source in (("config", sources(run_dir)[0]), ("evaluate", sources(run_dir)[1])):
        line = refused(capsys, "--resume", *source)
        assert line == f"--resume and --{name} exclude each other"


def test_weights_to_begin_with(folder, capsys):
    """A run keeps their place, its resume does not need them, and an evaluation has its own."""
    (folder / "other.pt").touch()
    run_dir = save(parse("--init-from", "other.pt"), folder / "run")
    (folder / "other.pt").unlink()
    assert parse("--resume", "--run-dir", run_dir).init_from == Path("other.pt")
    evaluation = sources(run_dir)[1]
    assert parse(*evaluation).init_from is None
    assert refused(capsys, "--init-from", "other.pt") == "--init-from: other.pt does not exist"
    line = refused(capsys, *evaluation, "--init-from", "other.pt")
    assert line == "--init-from and --evaluate exclude each other"
    (folder / "other.pt").touch()
    with pytest.raises(SystemExit):
        parse(
            "--init-from", "other.pt", "--pretrained", add=one("--pretrained", action="store_true")
        )
    assert "--init-from and --pretrained exclude each other" in capsys.readouterr().err


def test_config_takes_precedence_over_that_of_the_checkpoint(folder):
    run_dir = save(parse("--epochs", 3), folder / "run")
    (folder / "other.json").write_text('{"epochs": 4}')
    assert parse(*sources(run_dir)[1], "--config", folder / "other.json").epochs == 4


def test_evaluate_by_a_relative_name_or_a_link(folder, monkeypatch, capsys):
    run_dir = save(parse("--epochs", 3), folder / "run")
    (folder / "link.pt").symlink_to(run_dir / "checkpoints" / "best.pt")
    assert parse("--evaluate", "link.pt").epochs == 3
    monkeypatch.chdir(run_dir / "checkpoints")
    assert parse("--evaluate", "best.pt").epochs == 3
    assert refused(capsys, "--evaluate", "no.pt") == "--evaluate: no.pt does not exist"
    (folder / "lone.pt").touch()
    line = refused(capsys, "--evaluate", folder / "lone.pt")
    assert "is not in a run directory; add --config CONFIG_JSON" in line


@pytest.mark.parametrize("name", ["", ".", "/", "\udcff", "a" * 5000])
def test_run_directories_that_are_refused(capsys, name):
    for resume in ([], ["--resume"]):
        line = refused(capsys, "--run-dir", name, *resume)
        assert line.startswith("--run-dir") and len(line) < 200


def test_help_shows_the_defaults(capsys):
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = new_parser(one("--size", type=int, default=7, help="size", required=True))
    parser.formatter_class = formatter
    with pytest.raises(SystemExit):
        options.parse_with_saved_options(parser, ["--resume", "--help"])
    assert "default: 7" in capsys.readouterr().out
