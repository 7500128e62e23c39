"""Rendering of the template, and reading of rendered projects."""

import functools
import itertools
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONTEXT = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
PROMPTS = [name for name in CONTEXT if not name.startswith("_")]
CHOICES = {name: CONTEXT[name] for name in PROMPTS if isinstance(CONTEXT[name], list)}
RAW_PROJECT = ROOT / "{{cookiecutter.project_slug}}"
RAW_PACKAGE = RAW_PROJECT / RAW_PROJECT.name


def render(
    answers: dict[str, str], output_dir: Path, hooks: bool = False, template: Path = ROOT
) -> Path:
    """Render a project into `output_dir` and return its folder.

    Unknown prompts are refused; cookiecutter ignores them. On a machine without cookiecutter,
    `RENDERED` names a folder of projects that were rendered beforehand.
    """
    if rendered := os.environ.get("RENDERED"):
        return Path(shutil.copytree(Path(rendered) / name_of(answers), output_dir / "my_project"))
    from cookiecutter.main import cookiecutter

    compile_templates_once()
    known = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    if unknown := answers.keys() - known.keys():
        raise ValueError(f"no such prompts: {sorted(unknown)}")
    return Path(
        cookiecutter(
            str(template),
            no_input=True,
            extra_context=answers,
            output_dir=output_dir,
            accept_hooks=hooks,
        )
    )


@functools.cache
def compile_templates_once() -> None:
    """Let Jinja compile equal templates once in this process, not for each project anew."""
    from jinja2 import Environment

    compile_anew = Environment.compile
    known: dict[tuple[Any, ...], Any] = {}

    def compile_once(environment: Environment, source: Any, *place: Any, **options: Any) -> Any:
        key = (source, *place, *options.items(), *environment.extensions)
        if not isinstance(source, str) or key not in known:
            known[key] = compile_anew(environment, source, *place, **options)
        return known[key]

    Environment.compile = compile_once  # type: ignore[method-assign]


def name_of(answers: dict[str, str]) -> str:
    """Return the name of the folder of a project that is rendered beforehand."""
    return "-".join(value for _, value in sorted(answers.items())) or "default"


def replay(
    answers: dict, file: Path, output_dir: Path, hooks: bool = True, template: Path = ROOT
) -> Path:
    """Render a project from a file of answers, which cookiecutter takes as they are."""
    from cookiecutter.main import cookiecutter

    defaults = {name: CHOICES[name][0] if name in CHOICES else "my_project" for name in PROMPTS}
    file.write_text(json.dumps({"cookiecutter": defaults | answers}), encoding="utf-8")
    return Path(
        cookiecutter(str(template), replay=str(file), output_dir=output_dir, accept_hooks=hooks)
    )


def copy_template(folder: Path) -> Path:
    """Copy what the template consists of into a new folder, which a test may change."""
    for name in [RAW_PROJECT.name, "templates", "hooks"]:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "cookiecutter.json", folder)
    return folder


def all_answers() -> list[dict[str, str]]:
    """Return every combination of choices.

    The licenses, on which no other file depends, are combined with the first choices alone.
    """
    first, *others = CHOICES["license"]
    choices = CHOICES | {"license": [first]}
    combinations = []
    for answers in itertools.product(*choices.values()):
        combinations.append(dict(zip(choices, answers, strict=True)))
    return combinations + [combinations[0] | {"license": other} for other in others]


@dataclass
class Project:
    """A rendered project: its answers and its folder."""

    answers: dict[str, str]
    folder: Path

    @property
    def package(self) -> Path:
        """The package, a folder with the same name as the project's."""
        return self.folder / self.folder.name

    @cached_property
    def files(self) -> dict[str, str]:
        """The text of each file by its path; a rendered project holds only text."""
        texts = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.folder).as_posix()
                texts[name] = path.read_text(encoding="utf-8")
        return texts

    def python(self, tests: bool = True) -> dict[str, str]:
        """Return the Python files by their paths, with or without the project's own tests."""
        return {
            path: text
            for path, text in self.files.items()
            if path.endswith(".py") and (tests or not path.startswith("tests/"))
        }
