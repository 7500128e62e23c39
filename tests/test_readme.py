"""README.md says what is so."""

import re

from quoting import QUOTE, README, up_to_date
from recording import SESSIONS, as_svg, masked, record, words
from rendering import CHOICES, ROOT


def test_quotes_are_true(default_project):
    text = README.read_text()
    assert [match[2] for match in QUOTE.finditer(text)] == [
        "main.py",
        "train_one_epoch",
        "tree",
        "prompts",
        "results",
        "mnist",
    ]
    assert up_to_date(text, default_project.folder) == text, "run tests/quoting.py"


def test_recordings_are_true(tmp_path):
    """Play the sessions again: the same words come in the same lines, whatever the machine makes of the numbers."""
    played = {name: words(as_svg(name, text)) for name, text in record(tmp_path).items()}
    recorded = {name: words((ROOT / "docs" / f"{name}.svg").read_text()) for name in SESSIONS}
    assert played["questions"] == recorded["questions"], "run tests/recording.py"
    assert masked(played["session"]) == masked(recorded["session"]), "run tests/recording.py"
    assert len(recorded["session"]) > 30
    assert all(f"](docs/{name}.svg)" in README.read_text() for name in SESSIONS)


def test_linked_files_are_there():
    for path in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / path).read_text()):
            assert link.startswith("https://") or (ROOT / link).exists(), link


def test_every_choice_is_named(default_project):
    text = README.read_text()
    for choices in CHOICES.values():
        for choice in choices:
            assert f"`{choice}`" in text
