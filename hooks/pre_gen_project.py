"""Validation of the answers before any file is written: one line says what to change."""

import json
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version

# Read as data: whatever an answer contains, none of it becomes code.
ANSWERS = json.loads({{"%r" | format(cookiecutter | jsonify)}})

# A caller of cookiecutter's functions, such as cruft, may leave it out; a hook runs in the project.
OUTPUT = ANSWERS.get("_output_dir", os.pardir)
FREE_TEXT = ["project_name", "description", "author_name"]
REQUIRED = ["project_name", "author_name"]

# Control characters, line breaks, marks that reverse the reading direction, halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SLUG = re.compile(r"[a-z][a-z0-9_]{0,59}")


def find_template():
    """Return the template's folder, or None.

    A relative path counts from the folder in which cookiecutter was started, which no hook is told.
    """
    starts = [os.environ.get("PWD", "."), OUTPUT]
    while os.path.dirname(starts[-1]) != starts[-1]:
        starts.append(os.path.dirname(starts[-1]))
    for start in starts:
        folder = os.path.join(start, ANSWERS.get("_repo_dir", "."))
        if os.path.isfile(os.path.join(folder, "hooks", "pre_gen_project.py")):
            return folder
    return None


def read_template():
    """Return the template's cookiecutter.json, or an empty dictionary if it is not found."""
    folder = find_template()
    if folder is None:
        return {}
    with open(os.path.join(folder, "cookiecutter.json"), encoding="utf-8") as file:
        return json.load(file)


def find_use(slug):
    """Return what else has that name, as "a module of Python", or None if it is free."""
    for use, lines in ANSWERS["_reserved"].items():
        if slug in " ".join(lines).split():
            return use
    if slug in getattr(sys, "stdlib_module_names", ()):  # of a Python newer than the list
        return "a module of Python"
    return None


def propose(text):
    """Return a slug that resembles `text` and is allowed."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower())[:50].strip("_")
    if not slug[:1].isalpha():
        slug = f"project_{slug}".strip("_")
    return f"{slug}_project" if find_use(slug) else slug


def find_slug_problem(slug):
    """Return one sentence if `slug` cannot be the name of a package that collides with nothing."""
    if not SLUG.fullmatch(slug):
        return (
            "project_slug must start with a lowercase letter and hold at most 60 lowercase "
            f"letters, digits and '_', unlike {slug!r}; try {propose(slug)}"
        )
    use = find_use(slug)
    if use:
        return f"project_slug must not be {slug!r}, {use}; try my_{slug} or {slug}_project"
    return None


def find_version_problem():
    """Return one sentence if cookiecutter is too old to know the template's settings, or None."""
    try:
        found = version("cookiecutter")
    except PackageNotFoundError:  # something else runs this hook
        return None
    if [int(part) for part in re.findall(r"\d+", found)[:2]] < [2, 2]:
        command = "pip install --upgrade cookiecutter"
        return f"this template needs cookiecutter 2.2 or newer: {command} (found {found})"
    return None


def find_problem():
    """Return one sentence about the first wrong answer, or None."""
    problem = find_version_problem()
    if problem:
        return problem
    for name in FREE_TEXT:
        answer = ANSWERS[name]
        if not isinstance(answer, str) or UNPRINTABLE.search(answer):
            return f"{name} must be one line of text without control characters, not {answer!r}"
        if name in REQUIRED and not answer.strip():
            return f"{name} must not be empty"
    problem = find_slug_problem(str(ANSWERS["project_slug"]))
    if problem:
        return problem
    template = read_template()
    for old, new in template.get("_renamed", {}).items():
        if ANSWERS["task"] == old:  # it may be of any type
            return f"the task {old!r} is called {new!r} now"
    for name, choices in template.items():  # an old file of answers may hold others
        if isinstance(choices, list) and ANSWERS[name] not in choices:
            return f"{name} must be one of {', '.join(choices)}, not {ANSWERS[name]!r}"
    newest, replayed = template.get("_version"), ANSWERS["_version"]
    if newest not in (None, replayed):
        return (
            f"the replayed answers are those of version {replayed} of the template, and this is "
            f"version {newest}; answer anew, or replay a project's .cookiecutter.json"
        )
    return None


def remove_parents():
    """Remove the empty folders that a slug such as 'a/b' has made.

    Cookiecutter itself removes only the innermost one.
    """
    project, output = os.getcwd(), os.path.realpath(OUTPUT)
    if os.path.dirname(project) != output and project.startswith(output + os.sep):
        os.chdir(output)
        while project != output and not os.listdir(project):
            os.rmdir(project)
            project = os.path.dirname(project)


problem = find_problem()
if problem:
    remove_parents()
    sys.exit(f"Error: {problem}.")
