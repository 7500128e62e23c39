"""Answers that were not expected: named ones, and as many as wanted that are made at random."""

import itertools
import json
import keyword
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookiecutter.utils import create_env_with_context
from rendering import CHOICES, CONTEXT, PROMPTS, ROOT

HOOK = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
FREE_TEXT = ["project_name", "description", "author_name"]
REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
HARMLESS = [*"\"'\\{}%#$`;()[]<>*_|&!~: éab", "研", "🚀", "{{ 7 * 7 }}", "# {% raw %}", '"""']
HARMLESS += ["$(touch canary)", '"; import os; os.system("touch canary"); "', "\\N{BULLET}", "%s"]
HARMLESS += ["__import__('os').system('touch canary')", "!!python/object:x", "{# x #}", "\u200d"]
CONTROL = ["\n", "\r\n", "\t", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"]
SLUGS = ["", ".", "..", "../x", "a/b", "x/", "/x", "~", "-x", "_x", "x y", "x.y", "my-net", "é"]
SLUGS += ["Upper", "1st", "x\ny", "x" * 60, "x" * 61, "con", "nul", "torch", "datasets", "json"]
SLUGS += ["my_project", "net_v2", "mnist", "__init__", "{{x}}", "$(touch canary)", "\uff58", "x\0"]
NO_TEXT: list[Any] = [None, 5, 1.5, True, ["x"], {"x": 1}]


def defaults() -> dict[str, Any]:
    """Return the answers of a user who accepts every default, with the private settings."""
    answers = dict(CONTEXT)
    for name in PROMPTS:
        answers[name] = CHOICES[name][0] if name in CHOICES else "my_project"
    return answers


def make_answers(number: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield random answers: one to three prompts have an answer that is odd, or wrong."""
    draw = random.Random(seed)
    for _ in range(number):
        answers = {}
        for prompt in draw.sample(PROMPTS, draw.randint(1, 3)):
            answers[prompt] = make_answer(draw, prompt)
        if draw.random() < 0.02:
            answers["_version"] = draw.choice(["0.1.0", "", None])
        yield answers


def make_answer(draw: random.Random, prompt: str) -> Any:
    """Return an answer to a prompt; about half of them are right."""
    if draw.random() < 0.05:
        return draw.choice(NO_TEXT)
    if prompt in FREE_TEXT:
        parts = draw.choices(HARMLESS, k=draw.randint(0, 12))
        if draw.random() < 0.3:
            parts.insert(draw.randint(0, len(parts)), draw.choice(CONTROL))
        return "".join(parts)
    if prompt == "project_slug":
        made = "".join(draw.choices("abz09_A-. /", [4, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1], k=6))
        words = [*keyword.kwlist, *sorted(sys.stdlib_module_names)]
        return draw.choice([made, draw.choice(SLUGS), draw.choice(words)])
    others = ["", "wrong", "None", CHOICES[prompt][0].upper(), CHOICES[prompt][0] + " "]
    return draw.choice([draw.choice(CHOICES[prompt]), *draw.choices(others, k=1)])


def is_right(answers: dict[str, Any]) -> bool:
    """Return whether a project can be made of these answers, as the README tells it."""
    for name in FREE_TEXT:
        if not isinstance(answers[name], str) or REFUSED.search(answers[name]):
            return False
        if name != "description" and not answers[name].strip():
            return False
    slug = str(answers["project_slug"])
    reserved = " ".join(itertools.chain(*CONTEXT["_reserved"].values())).split()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", slug):
        return False
    if slug in reserved or slug in sys.stdlib_module_names or keyword.iskeyword(slug):
        return False
    chosen = all(answers[name] in choices for name, choices in CHOICES.items())
    return chosen and answers["_version"] == CONTEXT["_version"]


class Hook:
    """The hook before rendering, run in this process as cookiecutter runs it in one of its own."""

    def __init__(self) -> None:
        environment = create_env_with_context({"cookiecutter": CONTEXT})
        self.template = environment.from_string(HOOK)

    def run(self, answers: dict[str, Any], output_dir: Path) -> str:
        """Return the line that the hook ends with, or an empty one if it allows the answers."""
        places = {"_output_dir": str(output_dir), "_repo_dir": str(ROOT)}
        names: dict[str, Any] = {}
        try:
            code = self.template.render(cookiecutter=answers | places)
            exec(compile(code, "pre_gen_project.py", "exec"), names)
        except SystemExit as ending:
            return str(ending.code)
        assert names["ANSWERS"] == json.loads(json.dumps(answers | places))
        return ""
