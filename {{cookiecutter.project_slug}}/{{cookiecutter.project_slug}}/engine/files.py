"""Files that are always whole: written beside their place, flushed, then renamed."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

CANNOT_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # a folder
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # a disk, or one's share of it


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write beside `path`, then flush it and rename it to `path`."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(path: Path) -> None:
    """Make the names of the files in a folder survive a power cut, if the file system can."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in CANNOT_FLUSH:
            raise
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises UserError if that is impossible, on a full disk for instance."""
    try:
        with replacing(path) as temporary:
            # A name that is no UTF-8 is written with escapes, which JSON knows.
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"cannot write {path}: {explain_write(path.parent, error)}") from None


def is_full(error: Exception) -> bool:
    """Return whether an error of Python, torch ("inline_container") or Rust means a full disk."""
    if getattr(error, "errno", None) in FULL:
        return True
    return any(words in str(error) for words in ("inline_container", "No space left on device"))


def explain_write(folder: Path, error: Exception) -> str:
    """Return why a file in a folder cannot be written; of a full disk, with the free space."""
    if is_full(error):
        free = shutil.disk_usage(folder).free / 2**20
        return f"No space left on device ({free:.1f} MiB are free)"
    return str(getattr(error, "strerror", None) or error)
