"""Some classes of digits as data sets, to add to a project: a file of its package.

`low` are the digits 0 to 5, and `high` are 6 to 9, with 8 images to train on; `even` and `odd` are
those of MNIST, with 100 images of `odd` to train on.
"""

from argparse import Namespace
from functools import partial
from typing import Any

import torch

from .engine.loader import InMemory


def take(args: Namespace, source: Any, classes: list[int], few: int | None = None) -> Any:
    """Return the splits of a data set with some of its classes; train has the first `few`."""
    splits = []
    for split in source(args):
        images, labels = split.tensors
        chosen = torch.isin(labels, torch.tensor(classes)).nonzero().flatten()
        if not splits:
            chosen = chosen[:few]
        numbers = torch.searchsorted(torch.tensor(classes), labels[chosen])
        info = {**split.info, "classes": list(map(str, classes)), "class_counts": {}}
        splits.append(InMemory(images[chosen], numbers, info=info, augment=split.augment))
    return tuple(splits)


def add_groups(datasets: dict[str, Any]) -> None:
    """Add the groups of the data sets digits and mnist."""
    digits, mnist = datasets["digits"], datasets["mnist"]
    datasets["low"] = partial(take, source=digits, classes=[0, 1, 2, 3, 4, 5])
    datasets["high"] = partial(take, source=digits, classes=[6, 7, 8, 9], few=8)
    datasets["even"] = partial(take, source=mnist, classes=[0, 2, 4, 6, 8])
    datasets["odd"] = partial(take, source=mnist, classes=[1, 3, 5, 7, 9], few=100)
