"""The answers that were taken, and the commands that come next."""

import json
import os
import shlex
import sys

# Read as data: whatever an answer contains, none of it becomes code.
ANSWERS = json.loads({{"%r" | format(cookiecutter | jsonify)}})

CHOSEN = ["task", "distributed", "hardware", "logger", "license"]


def project_path():
    """Return the project's path, as short as it is from the folder cookiecutter was started in."""
    start = os.path.realpath(os.environ.get("PWD", ANSWERS.get("_output_dir", os.pardir)))
    return shlex.quote(os.path.relpath(os.getcwd(), start))


def venv_command():
    """Return the command that makes and activates a virtual environment, in this system's shell."""
    if os.name == "nt":
        return r"py -m venv .venv && .venv\Scripts\activate"
    return "python3 -m venv .venv && source .venv/bin/activate"


def install_command():
    """Return the pip command that installs the project, with PyTorch for its hardware."""
    with open("pyproject.toml", encoding="utf-8") as file:
        packages = "torch torchvision" if "torchvision" in file.read() else "torch"
    index = ANSWERS["_torch_index"][ANSWERS["hardware"]]
    if index:
        return f"pip install {packages} --index-url {index} && pip install -e ."
    return "pip install -e ."


def next_steps():
    """Return the lines that tell how to start."""
    lines = [
        "Next:",
        "",
        f"    cd {project_path()}",
        '    git init && git add -A && git commit -m "As rendered"',
        "    uv run main.py",
        "",
        "or, without uv, in place of the last line:",
        "",
        f"    {venv_command()}",
        f"    {install_command()}",
        "    python main.py",
    ]
    if ANSWERS["distributed"] != "none" and ANSWERS["hardware"] != "cpu":
        torchrun = "torchrun --standalone --nproc-per-node gpu main.py"
        lines += [
            "",
            "and on all GPUs of a machine (`uv run torchrun` with uv):",
            "",
            f"    {torchrun}",
        ]
    return lines


def say(lines):
    """Print the lines, if that is possible.

    A stdout that is closed or full, or lacks a character of the path, is no reason to fail: then
    cookiecutter would remove the new project.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.reconfigure(errors="replace")
        print("\n".join(lines), flush=True)
    except OSError:
        sys.stdout = None  # or Python would write the rest as it exits, and fail


slug, version = ANSWERS["project_slug"], ANSWERS["_version"]
chosen = ", ".join(f"{name}={ANSWERS[name]}" for name in CHOSEN)
if os.path.exists(".git"):  # an update of a project that has been in git before
    say([f"Rendered {slug} with version {version} of the template and {chosen}."])
else:
    say([f"Created {slug} with {chosen}.", *next_steps()])
