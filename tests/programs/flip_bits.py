"""Flips bits of a checkpoint, one at a time: flip_bits.py CHECKPOINT EVERY DATA_BITS.

The bits of the zip archive's headers and directory are flipped, each EVERY-th of them, those that
mark an entry as a folder, and DATA_BITS random ones of the rest. For each, `read_checkpoint` must
raise UserError, or return what it returns for the file as it was. Prints how many bits were of
either kind.
"""

import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from my_project.engine.checkpoint import read_checkpoint
from my_project.engine.errors import UserError


def is_same(one: Any, other: Any) -> bool:
    """Return whether two nests are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one == other


def find_places(path: Path) -> tuple[list[int], list[int]]:
    """Return the bits of the archive's headers and directory, and those of its data."""
    data: set[int] = set()
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = int.from_bytes(content[entry.header_offset + 26 :][:2], "little")
            extra = int.from_bytes(content[entry.header_offset + 28 :][:2], "little")
            first = entry.header_offset + 30 + name + extra
            data.update(range(first, first + entry.file_size))
    directory = [8 * place for place in range(len(content)) if place not in data]
    bits = [place + bit for place in directory for bit in range(8)]
    return bits, [8 * place + random.randrange(8) for place in data]


def find_folder_bits(path: Path) -> list[int]:
    """Return the bit of each entry of the directory that makes torch take it for a folder."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        place = archive.start_dir
        entries = len(archive.infolist())
    bits = []
    for _ in range(entries):
        bits.append(8 * (place + 38) + 4)
        lengths = [int.from_bytes(content[place + at :][:2], "little") for at in (28, 30, 32)]
        place += 46 + sum(lengths)  # name, extra field, comment
    return bits


random.seed(0)
path, every, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
whole = read_checkpoint(path)
content = path.read_bytes()
directory_bits, data_bits = find_places(path)
damaged = Path("damaged.pt")
counts = {"refused": 0, "harmless": 0}
bits = directory_bits[::every] + find_folder_bits(path) + random.sample(data_bits, number)
for bit in bits:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << (bit % 8)
    damaged.write_bytes(flipped)
    try:
        found = read_checkpoint(damaged)
    except UserError:
        counts["refused"] += 1
    else:
        assert is_same(found, whole), f"bit {bit} is silently wrong"
        counts["harmless"] += 1
print(counts["refused"], counts["harmless"])
