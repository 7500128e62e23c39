"""Prints, as JSON, the batches of loaders: the numbers of the samples in the order they come.

`python print_orders.py OPTIONS...`, in a project. A list of batches is printed for each `for` over
a loader of 20 samples: three times one after another, epoch 1 again, epoch 1 from its step 2 on; in
training also epoch 1 from its end on, and the `for` that follows.
"""

import json
import sys
from typing import Any

import torch
from my_project.engine.loader import InMemory
from my_project.engine.runtime import start
from my_project.utils import get_loader, parse_arguments
from torch.utils.data import Dataset, IterableDataset

NUMBERS = torch.arange(20)


class Items(Dataset):
    """Numbers that are read one by one."""

    def __len__(self) -> int:
        return len(NUMBERS)

    def __getitem__(self, index: int) -> torch.Tensor:
        return NUMBERS[index]


class Stream(IterableDataset):
    """Numbers that come as a stream, in each pass from another one on."""

    start = 0

    def set_epoch(self, epoch: int) -> None:
        self.start = epoch

    def __iter__(self) -> Any:
        return iter(NUMBERS.roll(-self.start))


def read_batches(loader: Any) -> list[list[int]]:
    """Return the batches of one `for`."""
    batches = []
    for batch in loader:
        numbers = batch[0] if isinstance(batch, tuple) else batch
        batches.append(numbers.tolist())
    return batches


def read_orders(loader: Any) -> list[list[list[int]]]:
    """Return the batches of several `for`."""
    orders = [read_batches(loader) for _ in range(3)]
    for step in (0, 2):
        loader.set_epoch(1, start_step=step)
        orders.append(read_batches(loader))
    if loader.split == "train":
        loader.set_epoch(1, start_step=len(loader))
        orders += [read_batches(loader), read_batches(loader)]
    return orders


args = parse_arguments(["--device", "cpu", *sys.argv[1:]])
orders = {}
with start(args) as runtime:
    for split in ("train", "val"):
        for dataset in (InMemory(NUMBERS), Items(), Stream()):
            if split == "val" or args.steps_per_epoch or not isinstance(dataset, Stream):
                loader = get_loader(args, runtime, dataset, split)
                orders[f"{split} {type(dataset).__name__}"] = read_orders(loader)
print(json.dumps(orders))
