"""Files of tokens in the user's cache, which are mapped into memory."""

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from .cache import get_cache_path, make_once, map_file
from .texts import CHUNK, Piece, find_character, get_size, read_chunks
from .tokenizer import Tokenizer, get_tokenizer, learn_subwords

BATCH = 32  # chunks that are encoded at once
SAMPLE = 2**24  # bytes of the training text, at most, that subwords are learned from


def map_tokens(args: Namespace, pieces: list[Piece], tokenizer: Tokenizer) -> Tensor:
    """Return the tokens of text files, (tokens,), in memory that is mapped to a file.

    The file is made if it is not in the cache yet. Raises UserError if that is impossible.
    """
    path = get_cache_path([tokenizer.saved, *identify(pieces)], "tokens.bin")
    make_once(path, partial(write_tokens, args, pieces, tokenizer))
    return map_file(path, tokenizer.dtype)


def identify(pieces: list[Piece]) -> Iterator[str]:
    """Yield what tells whether a piece of text is the same as before."""
    for path, start, end, modified in pieces:
        yield f"{path.absolute()} {start} {end} {modified}"


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
    options = f"{vocabulary_size} of {SAMPLE}"
    path = get_cache_path([options, *identify(pieces)], "tokens.json")
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
