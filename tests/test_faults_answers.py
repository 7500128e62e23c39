"""Answers to the generator: a project that is right and nothing executed, or one line."""

from pathlib import Path

import pytest
from cookiecutter.environment import StrictEnvironment
from cookiecutter.exceptions import CookiecutterException
from faults_answers import CONTEXT, CONTROL, NO_TEXT, Hook, defaults, is_right, make_answers
from faults_table import Report
from rendering import CHOICES, render, replay
from test_hooks import NAMES, SLUGS, TEXTS, check_arrival, default_slug

full = pytest.mark.faults


def named_answers() -> list[dict]:
    """Return the answers that the tests of the hooks name, and a wrong one for each choice."""
    named: list[dict] = []
    for name in NAMES:
        named.append({"project_name": name, "project_slug": default_slug(name)})
    named += [{"project_slug": slug} for slug in SLUGS]
    named += [dict.fromkeys(["project_name", "description", "author_name"], text) for text in TEXTS]
    named += [{prompt: "wrong"} for prompt in CHOICES]
    named += [{"author_name": answer} for answer in NO_TEXT]
    named += [{"description": f"x{character}y"} for character in CONTROL]
    return named


def is_one_line(text: str) -> bool:
    return text.startswith("Error: ") and text.endswith(".") and text.isprintable()


@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=full)])
def test_made_answers(tmp_path, monkeypatch, report_faults: Report, number):
    """The hook says what an independent reading of the rules says; it executes no answer."""
    hook, refused, wrong = Hook(), 0, 0
    project = tmp_path / "out" / "x"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)  # as hooks do
    for made in make_answers(number):
        answers = defaults() | made
        line = hook.run(answers, project.parent)
        refused += bool(line)
        if is_right(answers) == bool(line) or (line and not is_one_line(line)):
            wrong += 1
            print(made, line)
    wrong += len(list(tmp_path.rglob("canary*")))
    note = f"{refused:,} refused with one line, {number - refused:,} taken, nothing executed"
    report_faults("made answers to the questions", number, wrong=wrong, note=note)


def find_fault(answers: dict, folder: Path, plain: Path, capfd: pytest.CaptureFixture) -> str:
    """Render with these answers; return what is wrong, or an empty text."""
    every = defaults() | answers
    out = folder / "out"
    try:
        project = replay(answers, folder / "answers.json", out)
    except (CookiecutterException, FileNotFoundError):  # the latter: the hook removed a/b and a
        first = capfd.readouterr().err.splitlines()[0]
        left = list(out.iterdir()) if out.exists() else []
        if (
            is_right(every)
            or left
            or (answers.get("project_slug") not in ("", ".") and not is_one_line(first))
        ):
            return f"refused with {first}, left {left}"
        return ""
    if not is_right(every):
        return "taken"
    if every["project_slug"] == "my_project" and not answers.keys() & CHOICES.keys():
        texts = [every[name] for name in ("project_name", "description", "author_name")]
        check_arrival(project, plain, *texts)
    return ""


@full
def test_answers_that_are_rendered(tmp_path, capfd, report_faults: Report):
    """The named answers, and some of the made ones, through cookiecutter and its hooks."""
    texts = dict.fromkeys(["project_name", "description", "author_name"], "plain")
    plain = render({"project_slug": "my_project", **texts}, tmp_path / "plain")
    named = named_answers()
    wrong = []
    for number, answers in enumerate([*named, *make_answers(36, seed=1)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = find_fault(answers, folder, plain, capfd)
        if fault:
            wrong.append((answers, fault))
    print(*wrong, sep="\n")
    number = len(wrong) + len(list(tmp_path.rglob("canary*")))
    note = f"{len(named)} named and 36 made answers, rendered"
    report_faults("answers to the questions, rendered", len(named) + 36, wrong=number, note=note)


def test_an_old_cookiecutter_is_named(tmp_path, monkeypatch):
    """It is the first thing that the hook says; before 2.4, prompts know no other tags."""
    project = tmp_path / "out" / "x"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    assert Hook().run(defaults(), project.parent) == ""
    for version in ("2.1.1", "1.7.3"):
        monkeypatch.setattr("importlib.metadata.version", lambda _, version=version: version)
        assert Hook().run(defaults() | {"project_slug": "# x"}, project.parent) == (
            "Error: this template needs cookiecutter 2.2 or newer: "
            f"pip install --upgrade cookiecutter (found {version})."
        )
    known = {"_reserved": CONTEXT["_reserved"], "project_name": "My Datasets 3"}
    environment = StrictEnvironment(context={})
    slug = environment.from_string(CONTEXT["project_slug"]).render(cookiecutter=known)
    assert slug == default_slug("My Datasets 3") == "my_datasets_3"
