"""Files in the user's cache: made once, and mapped into memory where they are used."""

import mmap
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from .errors import UserError
from .files import explain_write, replacing
from .run_dir import NO_LOCKS


def get_cache_path(facts: Iterable[str], name: str) -> Path:
    """Return the path in the user's cache for what depends on the facts: a folder, and `name`.

    Facts are the paths, sizes and times of files, and options.
    """
    digest = blake2b(digest_size=16)
    for fact in facts:
        digest.update(os.fsencode(f"{fact}\n"))
    folder, _, suffix = name.partition(".")
    return get_cache() / folder / f"{digest.hexdigest()}.{suffix}"


def get_cache() -> Path:
    """Return the folder for what can be made again: $XDG_CACHE_HOME, by default ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, str(__package__).partition(".")[0])


def make_once(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file of the cache, unless it is there; runs wait for each other.

    Raises UserError if that is impossible, on a full disk for instance.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if path.exists():  # another run has made it
                return
            for old in path.parent.glob(f"{path.name}.tmp.*"):  # of one that was killed
                old.unlink()
            with replacing(path) as temporary:
                write(temporary)
    except OSError as error:
        reason = explain_write(path.parent, error)
        raise UserError(
            f"cannot write {path.parent}, which keeps what is read from the data: {reason}; "
            "set XDG_CACHE_HOME to another folder"
        ) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, if the file system has locks."""
    from filelock import FileLock

    lock = FileLock(path)
    try:
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def map_file(path: Path, dtype: torch.dtype) -> Tensor:
    """Return the numbers in a file as a tensor, (numbers,), in memory that is mapped to it."""
    if not path.stat().st_size:
        return torch.empty(0, dtype=dtype)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():  # that nothing can be written into it
        warnings.simplefilter("ignore")
        return torch.frombuffer(mapped, dtype=dtype)
