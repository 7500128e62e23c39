"""How batches come: in which order, which share of them is this process's, and from where."""

import math
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from runtime import Runtime, UserError

Augment = Callable[[list[Tensor], Tensor], list[Tensor]]


class InMemory(Dataset):
    """Samples held as tensors whose first dimension counts them; `info` tells what a model needs to know of them.

    `augment(batch, numbers)` changes a whole batch on its device: `batch` is a list of tensors, and `numbers`, of the
    shape (batch, noise), is uniform in [0, 1). They depend on seed, epoch and step alone, so that a sample meets the
    same augmentation in however many processes, and in a restarted run too.
    """

    def __init__(self, *tensors: Tensor, info: dict[str, Any], augment: Augment | None = None, noise: int = 8):
        self.tensors, self.info, self.augment, self.noise = tensors, info, augment, noise

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)


class Seeded(Dataset):
    """A dataset on disk whose random transforms depend on (seed, epoch, index) and on nothing else."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, key: list[int]) -> Any:
        index, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.dataset[index]


class Plan:
    """What the workers read next: the (index, seed) of each sample, batch by batch."""

    keys: Tensor  # (samples, 2)
    batches: list[Tensor]  # of indices

    def __iter__(self) -> Iterator[list[list[int]]]:
        return (self.keys[batch].tolist() for batch in self.batches)


def stand_apart(_worker: int) -> None:
    """Leave Ctrl-C, and what torchrun sends to a group of processes, to the main process, which ends its workers."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        os.setpgrp()


class Loader:
    """Batches of `dataset`, as lists of tensors on this process's device.

    Every epoch meets every sample exactly once, without padding. In training, each epoch has an order of its own, and
    its batches, of --batch-size samples at most and over all processes, differ in size by one sample at most. In
    evaluation each process has a share of the samples, in equally many batches. With --quick there are three batches.
    """

    def __init__(self, args: Namespace, runtime: Runtime, dataset: Any, train: bool = False):
        self.dataset, self.runtime, self.train, self.seed = dataset, runtime, train, args.seed
        self.batch_size = args.batch_size
        self.samples = min(len(dataset), 3 * self.batch_size) if args.quick else len(dataset)
        if train:
            parts, self.length = runtime.world_size * args.accumulation, math.ceil(self.samples / self.batch_size)
        else:
            # no batch of one, or the rank whose share is one sample smaller would have an empty one
            parts, share = runtime.world_size, math.ceil(self.samples / runtime.world_size)
            self.length = math.ceil(share / max(2, self.batch_size // (runtime.world_size * args.accumulation)))
        if self.samples < parts * (self.length if train else 1) or not self.samples:
            split = "training" if train else "validation or test"
            raise UserError(f"{len(dataset)} {split} samples are too few for batches in {parts} part(s)")
        if isinstance(dataset, InMemory):
            size = sum(tensor.nbytes for tensor in dataset.tensors)
            self.storage = runtime.device if size < runtime.free_memory() / 4 else torch.device("cpu")
            self.tensors = [tensor.to(self.storage) for tensor in dataset.tensors]
        else:
            self.plan = Plan()
            self.reader = DataLoader(
                Seeded(dataset),
                batch_sampler=self.plan,
                num_workers=args.workers,
                persistent_workers=args.workers > 0,
                pin_memory=runtime.device.type == "cuda",
                generator=torch.Generator(),  # its own, so that reading leaves the model's randomness alone
                worker_init_fn=stand_apart,
            )

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[list[Tensor]]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Tensor]]:
        """Yield the batches of one epoch from number `start` on."""
        device = self.runtime.device
        generator = self.generator(epoch)
        indices = self.indices(generator)
        if isinstance(self.dataset, InMemory):
            order = torch.cat(indices).to(self.storage).split([len(chosen) for chosen in indices])
            for step, chosen in enumerate(order[start:], start):
                batch = [tensor.index_select(0, chosen).to(device, non_blocking=True) for tensor in self.tensors]
                yield batch if self.dataset.augment is None else self.dataset.augment(batch, self.numbers(epoch, step))
        else:
            seeds = torch.randint(2**62, (len(self.dataset),), generator=generator)
            self.plan.keys, self.plan.batches = torch.stack((torch.arange(len(seeds)), seeds), 1), indices[start:]
            for batch in self.reader:
                yield [tensor.to(device, non_blocking=True) for tensor in batch]

    def indices(self, generator: torch.Generator) -> list[Tensor]:
        """Which samples this process meets, batch by batch."""
        rank, world_size = self.runtime.rank, self.runtime.world_size
        if not self.train:
            return list(torch.arange(rank, self.samples, world_size).tensor_split(self.length))
        order = torch.randperm(len(self.dataset), generator=generator)[: self.samples]
        return [batch.tensor_split(world_size)[rank] for batch in order.tensor_split(self.length)]

    def generator(self, epoch: int, step: int = -1) -> torch.Generator:
        """Return a source of randomness that belongs to an epoch, or to a step in it."""
        return torch.Generator().manual_seed(((self.seed * 1_000_003 + epoch) * 1_000_003 + step) % 2**63)

    def numbers(self, epoch: int, step: int) -> Tensor:
        """Random numbers for the augmentation of this process's part of a batch."""
        numbers = torch.rand(self.size(step), self.dataset.noise, generator=self.generator(epoch, step))
        part = numbers.tensor_split(self.runtime.world_size)[self.runtime.rank]
        return part.to(self.runtime.device, non_blocking=True)

    def size(self, step: int) -> int:
        """How many samples all processes together have in training batch number `step`."""
        return self.samples // self.length + (step < self.samples % self.length)

    def sample_batch(self, number: int) -> list[Tensor]:
        """Return up to `number` samples from all over the data set as one batch, the same on every rank."""
        indices = torch.linspace(0, len(self.dataset) - 1, min(number, len(self.dataset))).long().tolist()
        return [part.to(self.runtime.device) for part in default_collate([self.dataset[index] for index in indices])]
