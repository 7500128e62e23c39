"""Prints how many samples each fold of own data trains on, validates and tests: folds.py K OPTIONS.

Fails if a sample is in two splits of a fold, or is not tested in exactly one fold.
"""

import json
import sys
from typing import Any

from my_project.datasets import DATASETS
from my_project.engine.splits import folding
from my_project.utils import parse_arguments


def read_samples(*options: str) -> list[list[Any]]:
    """Return the names or the keys of the samples of each split."""
    args = parse_arguments(list(options))
    with folding(args):
        splits = DATASETS[args.dataset](args)
    samples = []
    for split in splits:
        samples.append(split.names if hasattr(split, "names") else split.keys.tolist())
    return samples


total = int(sys.argv[1])
sizes = []
tested: list[Any] = []
for number in range(total):
    train, val, test = read_samples(*sys.argv[2:], "--fold", f"{number + 1}/{total}")
    everything = sorted([*train, *val, *test])
    assert len(set(train) | set(val) | set(test)) == len(everything), "in two splits"
    tested += test
    sizes.append([len(train), len(val), len(test)])
assert sorted(tested) == everything, "not tested once"
print(json.dumps(sizes))
