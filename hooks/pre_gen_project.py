"""Check every answer before a file is written: a wrong one ends the run with a line that says what to change."""

import json
import os
import re
import sys

# Read as data: whatever an answer contains, none of it becomes code.
ANSWERS = json.loads({{"%r" | format(cookiecutter | jsonify)}})

FREE_TEXT = ["project_name", "description", "author_name"]
REQUIRED = ["project_name", "author_name"]

# Control characters, line breaks, marks that reverse the reading direction, and halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SLUG = re.compile(r"[a-z][a-z0-9_-]{0,59}")
WINDOWS_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")


def find_template():
    """Return the template's folder, or None: a relative path counts from where cookiecutter was started, which no
    hook is told."""
    starts = [os.environ.get("PWD", "."), ANSWERS["_output_dir"]]
    while os.path.dirname(starts[-1]) != starts[-1]:
        starts.append(os.path.dirname(starts[-1]))
    folders = [os.path.join(start, ANSWERS["_repo_dir"]) for start in starts]
    return next(
        (folder for folder in folders if os.path.isfile(os.path.join(folder, "hooks", "pre_gen_project.py"))), None
    )


def read_choices():
    """Return the answers that each prompt with choices allows; an old answer file may name others."""
    template = find_template()
    if template is None:
        return {}
    with open(os.path.join(template, "cookiecutter.json"), encoding="utf-8") as file:
        return {name: value for name, value in json.load(file).items() if isinstance(value, list)}


def find_problem():
    """Return one sentence about the first wrong answer, or None."""
    for name in FREE_TEXT:
        answer = ANSWERS[name]
        if not isinstance(answer, str) or UNPRINTABLE.search(answer):
            return f"{name} must be one line of text without control characters, not {answer!r}"
        if name in REQUIRED and not answer.strip():
            return f"{name} must not be empty"
    slug = str(ANSWERS["project_slug"])
    if not SLUG.fullmatch(slug):
        return (
            "project_slug must start with a lowercase letter and hold at most 60 "
            f"lowercase letters, digits, '_' and '-', unlike {slug!r}"
        )
    if WINDOWS_DEVICE.fullmatch(slug):
        return f"project_slug must not be {slug!r}, which Windows keeps for a device"
    for name, choices in read_choices().items():
        if ANSWERS[name] not in choices:
            return f"{name} must be one of {', '.join(choices)}, not {ANSWERS[name]!r}"
    return None


def remove_parents():
    """Remove the empty folders that a slug such as 'a/b' has made; cookiecutter itself removes only the innermost."""
    project, output = os.getcwd(), os.path.realpath(ANSWERS["_output_dir"])
    if os.path.dirname(project) != output and project.startswith(output + os.sep):
        os.chdir(output)
        while project != output and not os.listdir(project):
            os.rmdir(project)
            project = os.path.dirname(project)


if problem := find_problem():
    remove_parents()
    sys.exit(f"Error: {problem}.")
