"""Provenance: the code, the command, the machine, the packages and the data that made a run."""

import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .environment import PROJECT, first_line, required_packages
from .errors import UserError
from .files import explain_write, replacing
from .identity import get_keys

Start = dict[str, Any]  # of a run, or of its resume: an entry of "starts" in run.json

GIT_SECONDS = 10.0  # a repository on a slow disk delays a run no longer
LARGEST_DIFF = 8 * 2**20  # bytes
MOST_NAMES = 100  # of files in run.json


def describe_start() -> Start:
    """Return what is started here; the changes of its code, which are not committed, as bytes.

    It is called before the data are read, so that the code is the one that was imported.
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["python", *sys.argv]),
        "host": platform.node(),
        "template": read_template(),
        "python": platform.python_version(),
        "packages": get_versions(),
        "code": read_code(),
    }


def read_template() -> str | None:
    """Return the name and the version of the template, None if only the package is installed."""
    try:
        text = (PROJECT / ".cookiecutter.json").read_text(encoding="utf-8")
        template = json.loads(text)["template"]
        return f"{template['name']} {template['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def get_versions() -> dict[str, str]:
    """Return the versions of the packages that the project requires, torch first."""
    versions = {"torch": str(torch.__version__)}  # with its build, such as +cu130
    for name in required_packages():
        with contextlib.suppress(PackageNotFoundError):  # a tracker's: a run continues without it
            versions.setdefault(name, version(name))
    return versions


# ------------------------------------------------------------------------------------------- git


def read_code() -> dict[str, Any]:
    """Return the commit of the project's folder, and how the folder differs from it.

    The commit is None for a folder that no commit holds, and `reason` tells why.
    """
    own = Path(__file__).resolve().relative_to(PROJECT).as_posix()
    try:
        commit = git("rev-parse", "HEAD", f"HEAD:./{own}").split()[0].decode()
        # What `git apply` can read, whatever the user's own settings are.
        form = ["--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short"]
        form += ["--src-prefix=a/", "--dst-prefix=b/", "--unified=3"]
        diff = git("-c", "diff.relative=false", "diff", *form, "HEAD", "--", ".")
        untracked = git("ls-files", "-z", "--others", "--exclude-standard", "--directory")
    except (OSError, ValueError, IndexError) as error:
        return {"commit": None, "reason": first_line(error)}
    names = untracked.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return {
        "commit": commit,
        "changes": diff,
        "untracked": names[:MOST_NAMES],
        "more_untracked": len(names[MOST_NAMES:]),
    }


def git(*words: str) -> bytes:
    """Return what git prints in the project's folder, of a long text a little over LARGEST_DIFF.

    Raises OSError if there is no git, or if git fails or takes too long. Nothing is written, not
    even git's index: other runs may read it at the same time.
    """
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            ["git", *words],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as child:
            timer = threading.Timer(GIT_SECONDS, child.kill)
            timer.start()
            assert child.stdout is not None
            output = child.stdout.read(LARGEST_DIFF + 1)
            is_whole = len(output) <= LARGEST_DIFF
            if not is_whole:
                child.kill()
        timer.cancel()
        errors.seek(0)
        lines = errors.read(2**16).decode("utf-8", "replace").splitlines()
    if is_whole and child.returncode < 0:
        raise OSError(f"git took more than {GIT_SECONDS:g} s")
    if is_whole and child.returncode:
        raise OSError(lines[0] if lines else f"git failed with exit code {child.returncode}")
    return output


# ----------------------------------------------------------------------------------------- starts


def add_start(run_dir: Path, start: Start, step: int, datasets: Iterable[Any]) -> list[Start]:
    """Return the starts of a run with a new one, at a step; write the changes of its code.

    Raises UserError if that is impossible, on a full disk for instance.
    """
    code = start["code"]
    if code["commit"]:
        diff = code["changes"]
        code = {**code, "dirty": bool(diff), "changes": write_diff(run_dir, diff) if diff else ""}
    start = {"step": step, **start, "code": code, "listing": hash_listing(datasets)}
    return [*read_starts(run_dir), start]


def read_starts(run_dir: Path) -> list[Start]:
    """Return the starts in the run.json of a run that is resumed."""
    try:
        starts = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["starts"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return starts if isinstance(starts, list) else []


def write_diff(run_dir: Path, diff: bytes) -> str:
    """Keep changes as changes.diff, or by the next free name if an earlier start had others.

    A part of them would mislead: if they are too large, nothing is kept.
    """
    if len(diff) > LARGEST_DIFF:
        return f"over {LARGEST_DIFF // 2**20} MiB, which are not kept"
    number = 1
    path = run_dir / "changes.diff"
    while path.exists() and path.read_bytes() != diff:
        number += 1
        path = run_dir / f"changes-{number}.diff"
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(diff)
    except OSError as error:
        raise UserError(f"cannot write {path}: {explain_write(run_dir, error)}") from None
    return path.name


def hash_listing(datasets: Iterable[Any]) -> str | None:
    """Return a hash of which samples are in which split; None if no data set names its samples."""
    digest = blake2b(digest_size=8)
    known = False
    for dataset in datasets:
        keys = get_keys(dataset)
        digest.update(b"split")
        if keys is not None:
            known = True
            digest.update(keys.sort().values.numpy().tobytes())
    return digest.hexdigest() if known else None


# ------------------------------------------------------------------------------------ for readers


def describe_code(starts: list[Start]) -> str:
    """Return the commits of a run and what differed from them, or an empty string without any."""
    texts: list[str] = []
    last = ""
    for start in starts:
        text = describe_commit(start["code"])
        if text and text != last:
            where = f"from step {start['step']:,}: " if last else ""
            texts.append(where + text)
            last = text
    return "; ".join(texts)


def describe_commit(code: dict[str, Any]) -> str:
    """Return a commit with what differed from it, or an empty string."""
    if not code.get("commit"):
        return ""
    text = f"commit {code['commit'][:12]}"
    if code["dirty"]:
        text += f" with changes: {code['changes']}"
    untracked = len(code["untracked"]) + code["more_untracked"]
    if untracked:
        text += f", not in git: {untracked} {'file' if untracked == 1 else 'files'}"
    return text


# {% if cookiecutter.logger != "none" %}
def list_facts(start: Start) -> dict[str, str]:
    """Return the start for a tracker, beside the options: names that begin with `run_`."""
    code = start["code"]
    values = {
        "commit": code["commit"],
        "changes": code.get("changes"),
        "command": start["command"][:400],
        "host": start["host"],
        "template": start["template"],
        "python": start["python"],
        "torch": start["packages"].get("torch"),
        "listing": start["listing"],
    }
    return {f"run_{name}": value for name, value in values.items() if value}


# {% endif %}
def describe_machine(start: Start) -> dict[str, str]:
    """Return lines of summary.md that no other line of it has."""
    packages = [f"{name} {number}" for name, number in start["packages"].items()]
    software = [start["template"] or "", f"Python {start['python']}", *packages]
    lines = {"host": start["host"], "software": ", ".join(filter(None, software))}
    if start["listing"]:
        lines["listing"] = f"{start['listing']}, a hash of the samples of each split"
    return lines
