"""Recipes in Markdown: edits of a rendered project that a reader, or a test, carries out."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rendering import ROOT

RECIPES = ROOT / "docs" / "recipes.md"
ROW = re.compile(r"^\| \[(.+)\]\(#(.+)\) \| (\d+) \| (\d+) \|$", re.MULTILINE)
STEP = re.compile(
    r"In `(?P<file>[\w./]+)`, (?P<how>above|below|in place of|remove) `(?P<anchor>[^`\n]+)`"
    r"(?: and the (?P<more>line|\d+ lines) below it)?(?: in `(?P<scope>\w+)`)?"
    r"(?:\.|:\n\n```\w+\n(?P<code>.*?)```)$",
    re.DOTALL | re.MULTILINE,
)
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Step:
    """A sentence such as "In `utils.py`, below `loss =`:", and the block of code after it."""

    file: str
    how: str  # above, below, in place of, remove
    anchor: str  # the beginning of a line
    more: int  # further lines that are replaced or removed
    scope: str | None  # the function of the anchor, if the anchor is not unique in the file
    code: str


def read_chapters(path: Path = RECIPES) -> dict[str, str]:
    """Return the text of each chapter by its title."""
    chapters = {}
    for chapter in path.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, text = chapter.partition("\n")
        chapters[title] = text
    return chapters


def read_table(path: Path = RECIPES) -> dict[str, tuple[str, int, int]]:
    """Return link, lines and files of each recipe by its title, as the table says."""
    rows = {}
    for title, link, lines, files in ROW.findall(path.read_text(encoding="utf-8")):
        rows[title] = (link, int(lines), int(files))
    return rows


def read_steps(text: str) -> list[Step]:
    """Return the steps of a chapter."""
    steps = []
    for match in STEP.finditer(text):
        more = match["more"] or "0"
        number = 1 if more == "line" else int(more.split()[0])
        step = Step(
            match["file"],
            match["how"],
            match["anchor"],
            number,
            match["scope"],
            match["code"] or "",
        )
        assert bool(step.code) == (step.how != "remove"), step
        steps.append(step)
    sentences = re.findall(r"^(?:\*\*.*\*\* )?In `", text, re.MULTILINE)
    assert len(steps) == len(sentences), "a sentence is no step"
    return steps


def carry_out(project: Path, step: Step) -> None:
    """Edit a file of a project to the letter of a step.

    A definition above another one is followed by two blank lines.
    """
    path = find_file(project, step.file)
    lines = path.read_text(encoding="utf-8").splitlines()
    number = find_line(lines, step)
    new = step.code.splitlines()
    if step.how == "above" and not lines[number].startswith(" "):
        new += ["", ""]
    first = number + 1 if step.how == "below" else number
    last = first
    if step.how in ("in place of", "remove"):
        last = number + 1 + step.more
    lines[first:last] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def find_file(project: Path, name: str) -> Path:
    """Return the path of a file of the root or of the package."""
    path = project / name
    return path if path.exists() else project / project.name / name


def find_line(lines: list[str], step: Step) -> int:
    """Return the number of the only line that begins with the anchor of a step, in its function."""
    found = []
    inside = step.scope is None
    for number, line in enumerate(lines):
        if step.scope is not None and line.startswith(("def ", "class ")):
            inside = line.startswith(f"def {step.scope}(")
        if inside and line.strip().startswith(step.anchor):
            found.append(number)
    assert len(found) == 1, f"{len(found)} lines of {step.file} begin with {step.anchor}"
    return found[0]


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as an author that is made up, and return what it prints."""
    author = ["-c", "user.name=author", "-c", "user.email=author@example.com"]
    command = ["git", *author, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(project: Path) -> None:
    """Make a git repository of a project as it was rendered."""
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "As rendered")


def count_changes(project: Path) -> tuple[int, int]:
    """Return the lines that were added since the commit, and the number of files changed."""
    git(project, "add", "--all")
    rows = git(project, "diff", "--cached", "--numstat").splitlines()
    return sum(int(row.split()[0]) for row in rows), len(rows)
