"""Text files: those of each split, and their text in chunks."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .identity import hash_names
from .listing import describe_left_out, list_files, list_folder
from .splits import check_splits, complete, describe_splits, divide, get_split, join_names

CHUNK = 2**14  # bytes that are read at once
WHOLE = 10  # files are not cut into splits if there are so many of them
# What often lies beside texts, and is none. Other files that are no text are an error.
OTHER_FILES = {".avif", ".bmp", ".gif", ".heic", ".ico", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}
OTHER_FILES |= {".webp", ".avi", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".wav", ".ttf"}
OTHER_FILES |= {".doc", ".docx", ".epub", ".mobi", ".odt", ".pdf", ".ppt", ".pptx", ".xls", ".xlsx"}
OTHER_FILES |= {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst", ".pyc", ".so"}
OTHER_FILES |= {".bin", ".h5", ".npy", ".npz", ".parquet", ".pkl", ".pt", ".pth", ".safetensors"}
OTHER_FILES |= {".db", ".sqlite"}
PROSE = {"", ".raw", ".text", ".tokens", ".txt"}  # deep in a folder, test.py need not be a split


class Piece(NamedTuple):
    """A part of a text file: its bytes from `start` to before `end`."""

    path: Path
    start: int
    end: int
    modified: int  # when the file was, in nanoseconds


def get_size(pieces: Iterable[Piece]) -> int:
    """Return the number of bytes in pieces."""
    return sum(piece.end - piece.start for piece in pieces)


# --------------------------------------------------------------------------- the files of a split


def find_texts(path: Path) -> tuple[dict[str, list[Piece]], list[str]]:
    """Return the pieces of "train", "val" and "test", and notes about the files.

    `path` is a file, a folder whose files or folders have the names of splits, or one with files at
    any depth. Raises UserError if it holds no text, or if it is not clear what the splits are.
    """
    named, notes = find_named_splits(path) if path.is_dir() else ({}, [])
    found = {}
    left_out = Counter[str]()
    for name, paths in (named or {"train": [path]}).items():
        found[name], others = list_pieces(paths)
        left_out += others
    if path.is_dir() and not named:
        check_no_splits(path, found["train"])
    parts = complete(found, partial(divide_pieces, path))
    splits = dict(zip(("train", "val", "test"), parts, strict=True))
    return splits, [*notes, *describe_left_out(left_out)]


def find_named_splits(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files and folders of each split in a folder, and notes; often none.

    The name of a split may be any part of a file's name between points, as in wiki.train.tokens,
    unless training is not among them, as with box.test.js. Raises UserError as `find_splits` does.
    """
    found: dict[str, list[Path]] = {}
    others = []
    is_plain = False
    for path in list_folder(folder):
        split = find_split(path)
        if split:
            found.setdefault(split, []).append(path)
            is_plain |= split == get_split(path.name.lower().partition(".")[0])
        else:
            others.append(path)
    if "train" not in found and not is_plain:
        return {}, []
    check_splits(folder, found, others)
    return found, describe_splits(found, others)


def find_split(path: Path) -> str:
    """Return the split that a file or folder is named after, or an empty string."""
    if path.suffix.lower() in OTHER_FILES:
        return ""
    for part in path.name.lower().split("."):
        if get_split(part):
            return get_split(part)
    return ""


def list_pieces(paths: list[Path]) -> tuple[list[Piece], Counter[str]]:
    """Return files, and those in folders at any depth, and the number of others by their kind.

    Raises UserError if there is no text.
    """
    pieces = []
    left_out = Counter[str]()
    for path in paths:
        if not path.is_dir():
            pieces.append(get_piece(path))
            continue
        files, others = list_files(path)
        left_out += others
        for file in files:
            suffix = file.suffix.lower()
            if suffix in OTHER_FILES:
                left_out[f"{suffix} file"] += 1
            elif not file.exists():
                left_out["broken link"] += 1
            elif not file.stat().st_size:
                left_out["empty file"] += 1
            else:
                pieces.append(get_piece(file))
    if not pieces:
        notes = "".join(f" ({note})" for note in describe_left_out(left_out))
        raise UserError(f"{join_names(paths)} holds no text{notes}; --data-dir names the folder")
    return pieces, left_out


def get_piece(path: Path) -> Piece:
    """Return a whole file. Raises UserError if it is empty, or not there."""
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not status.st_size:  # pipes and devices have no size, either
        raise UserError(f"{path} is empty")
    return Piece(path, 0, status.st_size, status.st_mtime_ns)


def check_no_splits(folder: Path, pieces: list[Piece]) -> None:
    """Raise UserError if splits lie deeper in a folder, whose texts would be mixed."""
    found: dict[Path, set[str]] = {}
    for piece in pieces:
        path = piece.path
        if path.suffix.lower() not in PROSE:
            path = path.parent
        while path != folder:
            found.setdefault(path.parent, set()).add(find_split(path))
            path = path.parent
    for parent, splits in found.items():
        if splits >= {"train", "val"} or splits >= {"train", "test"}:
            raise UserError(f"{parent} holds splits: give it as --data-dir, in place of {folder}")


# ------------------------------------------------------------------------------ division of texts


def divide_pieces(folder: Path, pieces: list[Piece], val: float, test: float) -> list[list[Piece]]:
    """Return the pieces of train, val and test: whole files, or by length if under ten.

    `val` and `test` are shares. Files are divided by their names, in the same way for every --seed.
    """
    if len(pieces) < WHOLE:
        size = get_size(pieces)
        train, rest = cut_pieces(pieces, size - int(val * size) - int(test * size))
        validation, rest = cut_pieces(rest, int(val * size))
        return [train, validation, rest]
    names = [piece.path.relative_to(folder).as_posix() for piece in pieces]
    parts = []
    for indices in divide(hash_names(names), val, test):
        parts.append([pieces[index] for index in indices.tolist()])
    return parts


def cut_pieces(pieces: list[Piece], size: int) -> tuple[list[Piece], list[Piece]]:
    """Cut off the first `size` bytes, up to three more where a character would be divided."""
    first, rest = [], []
    for piece in pieces:
        end = find_character(piece.path, min(piece.start + size, piece.end)) if size > 0 else 0
        if end > piece.start:
            first.append(piece._replace(end=end))
        if end < piece.end:
            rest.append(piece._replace(start=max(end, piece.start)))
        size -= piece.end - piece.start
    return first, rest


def find_character(path: Path, position: int) -> int:
    """Return the position in a file, in bytes, of the character that begins there or next."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            following = file.read(3)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    for byte in following:
        if byte & 0b11000000 != 0b10000000:  # no byte but the first of a character
            break
        position += 1
    return position


# ------------------------------------------------------------------------------- text in chunks


def read_chunks(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yield the text of pieces, some 16 KiB at once, with a line break between two pieces.

    A chunk ends with a line, if one ends in it. Raises UserError with file and byte if that is no
    text in UTF-8.
    """
    for number, piece in enumerate(pieces):
        if number:
            yield "\n"
        try:
            yield from read_piece(piece)
        except OSError as error:
            raise UserError(f"cannot read {piece.path}: {error.strerror}") from None


def read_piece(piece: Piece) -> Iterator[str]:
    """Yield the text of a piece in chunks."""
    start = piece.start  # of the next chunk
    data = b""
    with piece.path.open("rb") as file:
        file.seek(start)
        while start < piece.end:
            added = file.read(min(CHUNK, piece.end - start - len(data)))
            data += added
            end = len(data)
            if start + end < piece.end:
                if not added:
                    raise UserError(f"{piece.path} became shorter while it was read")
                end = data.rfind(b"\n") + 1 or find_last_character(data)
            text = decode_utf8(data[:end], piece.path, start)
            yield text.removeprefix("\ufeff") if start == 0 else text
            start += end
            data = data[end:]


def find_last_character(data: bytes) -> int:
    """Return where the last character begins, which may not be whole."""
    for position in range(len(data) - 1, max(len(data) - 4, 0), -1):
        if data[position] & 0b11000000 != 0b10000000:
            return position
    return len(data)


def decode_utf8(data: bytes, path: Path, start: int) -> str:
    """Return text that begins at a byte of a file. Raises UserError if it is not UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        reason, position = error.reason, error.start
    else:
        position = data.find(b"\0")
        if position < 0:
            return text
        reason = "a zero byte"
    raise UserError(
        f"{path}, byte {start + position}: not text in UTF-8, {reason}; save the file as UTF-8"
    )
