"""README.md says what is so."""

import re

import pytest
from quoting import QUOTE, README, bring_up_to_date
from recording import SESSIONS, draw_svg, mask, read_svg, record
from rendering import CHOICES, ROOT

QUOTES = ["main.py", "train_one_epoch", "tree", "prompts", "results", "faults", "reading", "mnist"]


def test_quotes_are_true(default_project):
    text = README.read_text(encoding="utf-8")
    assert [match[2] for match in QUOTE.finditer(text)] == QUOTES
    assert bring_up_to_date(text, default_project.folder) == text, "run tests/quoting.py"


@pytest.mark.full
def test_recordings_are_true(tmp_path):
    """Play the sessions again: the same words come in the same lines, the numbers aside."""
    played = {name: read_svg(draw_svg(name, text)) for name, text in record(tmp_path).items()}
    recorded = {}
    for name in SESSIONS:
        recorded[name] = read_svg((ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8"))
        assert f"](docs/{name}.svg)" in README.read_text(encoding="utf-8")
    assert played["questions"] == recorded["questions"], "run tests/recording.py"
    assert mask(played["session"]) == mask(recorded["session"]), "run tests/recording.py"
    assert len(recorded["session"]) > 30


def test_linked_files_are_there():
    for path in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / path).read_text(encoding="utf-8")):
            assert link.startswith("https://") or (ROOT / link).exists(), link


def test_tests_of_the_faults_are_there():
    """Each test that docs/faults.md names."""
    tests = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        tests.update(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named and named <= tests, named - tests


def test_every_choice_is_named():
    text = README.read_text(encoding="utf-8")
    for choices in CHOICES.values():
        for choice in choices:
            assert f"`{choice}`" in text
