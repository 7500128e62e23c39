"""Say what was chosen, and which commands come next."""

import json
import os
import shlex
import sys

# Read as data: whatever an answer contains, none of it becomes code.
ANSWERS = json.loads({{"%r" | format(cookiecutter | jsonify)}})


def project_path():
    """Return the project's path, as short as it is from where cookiecutter was started."""
    start = os.path.realpath(os.environ.get("PWD", ANSWERS["_output_dir"]))
    return shlex.quote(os.path.relpath(os.getcwd(), start))


def install_command():
    """Return the pip command that installs the project's packages, PyTorch from the index that fits the hardware."""
    with open("pyproject.toml", encoding="utf-8") as file:
        packages = "torch torchvision" if "torchvision" in file.read() else "torch"
    index = ANSWERS["_torch_index"][ANSWERS["hardware"]]
    return f"pip install {packages} --index-url {index} && pip install -e ." if index else "pip install -e ."


chosen = ", ".join(f"{name}={ANSWERS[name]}" for name in ["task", "distributed", "hardware", "logger", "license"])
lines = [
    f"Created {ANSWERS['project_slug']} with {chosen}. Next:",
    "",
    f"    cd {project_path()}",
    "    uv run main.py",
    "",
    "or, without uv:",
    "",
    f"    {install_command()}",
    "    python main.py",
]
if ANSWERS["distributed"] != "none" and ANSWERS["hardware"] != "cpu":
    lines += ["", "and on all GPUs of a machine:", "", "    torchrun --standalone --nproc-per-node gpu main.py"]

# A terminal that lacks a character of the path is no reason to fail, which would remove the project again.
sys.stdout.reconfigure(errors="replace")
print("\n".join(lines))
