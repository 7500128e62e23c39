"""Files of tokens in the user's cache: made once, and mapped into memory where they are used."""

import mmap
import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from .errors import UserError
from .files import explain_write, replacing
from .run_dir import NO_LOCKS
from .texts import CHUNK, Piece, find_character, get_size, read_chunks
from .tokenizer import Tokenizer, get_tokenizer, learn_subwords

BATCH = 32  # chunks that are encoded at once
SAMPLE = 2**24  # bytes of the training text, at most, that subwords are learned from


def map_tokens(args: Namespace, pieces: list[Piece], tokenizer: Tokenizer) -> Tensor:
    """Return the tokens of text files, (tokens,), in memory that is mapped to a file.

    The file is made if it is not in the cache yet. Raises UserError if that is impossible.
    """
    path = get_cache_path(pieces, tokenizer.saved, ".bin")
    make_once(path, partial(write_tokens, args, pieces, tokenizer))
    if not path.stat().st_size:
        return torch.empty(0)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():  # that nothing can be written into it
        warnings.simplefilter("ignore")
        return torch.frombuffer(mapped, dtype=tokenizer.dtype)


def write_tokens(args: Namespace, pieces: list[Piece], tokenizer: Tokenizer, path: Path) -> None:
    """Write the tokens of text files to a file, without reading any of them as a whole."""
    chunks = read_chunks(pieces)
    disable = True if args.quiet else None  # None: if there is no terminal
    size = get_size(pieces)
    bar = tqdm(desc="tokens", total=size, unit="B", unit_scale=True, leave=False, disable=disable)
    with bar, path.open("wb") as file:
        while batch := list(islice(chunks, BATCH)):
            file.write(tokenizer.encode(*batch).numpy().tobytes())
            bar.update(sum(len(text.encode()) for text in batch))


def get_file_tokenizer(args: Namespace, pieces: list[Piece], vocabulary_size: int) -> Tokenizer:
    """Return the tokenizer of --tokenizer; subwords are learned from the text of `pieces`."""
    return get_tokenizer(args, partial(learn_from_files, pieces, vocabulary_size))


def learn_from_files(pieces: list[Piece], vocabulary_size: int) -> str:
    """Return a subword tokenizer as JSON, from the cache if it was learned before."""
    path = get_cache_path(pieces, f"{vocabulary_size} of {SAMPLE}", ".json")
    make_once(path, partial(write_tokenizer, pieces, vocabulary_size))
    return path.read_text(encoding="utf-8")


def write_tokenizer(pieces: list[Piece], vocabulary_size: int, path: Path) -> None:
    """Learn subwords from a sample of the text, and write them to a file."""
    saved = learn_subwords(read_chunks(take_sample(pieces)), vocabulary_size)
    path.write_text(saved, encoding="utf-8")


def take_sample(pieces: list[Piece]) -> list[Piece]:
    """Return about SAMPLE bytes of pieces, in small parts that are spread over all of them."""
    share = SAMPLE / get_size(pieces)
    if share >= 1:
        return pieces
    sample = []
    number = 0
    for piece in pieces:
        for start in range(piece.start, piece.end, CHUNK):
            number += 1
            if int(number * share) > int((number - 1) * share):
                first = find_character(piece.path, start)
                end = find_character(piece.path, min(start + CHUNK, piece.end))
                sample.append(piece._replace(start=first, end=end))
    return sample


# -------------------------------------------------------------------------------------- the cache


def get_cache_path(pieces: list[Piece], options: str, suffix: str) -> Path:
    """Return the path in the user's cache for what is made of files with some options."""
    digest = blake2b(options.encode(), digest_size=16)
    for path, start, end, modified in pieces:
        digest.update(os.fsencode(f"{path.absolute()} {start} {end} {modified}\n"))
    return get_cache() / f"{digest.hexdigest()}{suffix}"


def get_cache() -> Path:
    """Return the folder for what can be made again: $XDG_CACHE_HOME, by default ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, str(__package__).partition(".")[0], "tokens")


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
            f"cannot write {path.parent}, which keeps tokens: {reason}; "
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
