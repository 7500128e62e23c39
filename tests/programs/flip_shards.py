"""Flips a random bit of each shard file of a checkpoint in turn: flip_shards.py CHECKPOINT NUMBER.

Each of NUMBER flips must be found before anything is unpickled. Prints how many were.
"""

import random
import sys
from pathlib import Path

from my_project.engine.checkpoint import read_checkpoint
from my_project.engine.errors import UserError
from my_project.engine.sharded import verify_shards

random.seed(0)
path, number = Path(sys.argv[1]), int(sys.argv[2])
verify_shards(read_checkpoint(path))
(folder,) = path.parent.glob(read_checkpoint(path)["shards"]["name"])
found = 0
for file in [file for file in sorted(folder.iterdir()) for _ in range(number)]:
    content = bytearray(file.read_bytes())
    bit = random.randrange(8 * len(content))
    content[bit // 8] ^= 1 << (bit % 8)
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        verify_shards(read_checkpoint(path))
    except UserError:
        found += 1
    file.write_bytes(whole)
assert found == number * len(list(folder.iterdir())), found
print(found)
