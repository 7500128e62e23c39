"""Lists of the files in a folder, without those that other programs leave there."""

import os
from collections import Counter
from collections.abc import Collection
from operator import attrgetter
from pathlib import Path

from .errors import UserError

# Left by macOS, Synology, Windows and Jupyter, beside hidden files, which begin with a dot.
FOREIGN = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "desktop.ini"}
FOREIGN |= {"__pycache__"}


def is_foreign(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or another program's."""
    return name.startswith(".") or name.lower() in FOREIGN


def list_folder(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted. Raises UserError if it cannot be read."""
    try:
        paths = [path for path in folder.iterdir() if not is_foreign(path.name)]
    except OSError as error:
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}") from None
    return sorted(paths, key=attrgetter("name"))


def list_files(folder: Path, suffixes: Collection[str] = ()) -> tuple[list[Path], Counter[str]]:
    """Return the files below a folder, sorted, and how many were left out by their kind.

    Links to folders are followed. With `suffixes`, in lower case, of one part or two (.csv.gz),
    files with another one are left out. Raises UserError if a folder cannot be read.
    """

    def give_up(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None

    files = []
    left_out: Counter[str] = Counter()
    seen = set()  # a link may lead to a folder above it
    for parent, folders, names in os.walk(folder, onerror=give_up, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        left_out["hidden folder"] += sum(map(is_foreign, folders))
        folders[:] = [name for name in folders if not is_foreign(name)]
        for name in names:
            rest, suffix = os.path.splitext(name.lower())
            long_suffix = os.path.splitext(rest)[1] + suffix
            if is_foreign(name):
                left_out["hidden file"] += 1
            elif suffixes and suffix not in suffixes and long_suffix not in suffixes:
                left_out[f"{suffix} file" if suffix else "file without a suffix"] += 1
            else:
                files.append(Path(parent, name))
    files.sort(key=attrgetter("parts"))  # the order of paths, which compare more slowly
    return files, +left_out  # without those that count zero


def describe_left_out(left_out: Counter[str]) -> list[str]:
    """Return a note about the files that `list_files` left out, if there are any."""
    kinds = [f"{count:,} x {kind}" for kind, count in sorted(left_out.items())]
    return [f"left out: {', '.join(kinds)}"] if kinds else []
