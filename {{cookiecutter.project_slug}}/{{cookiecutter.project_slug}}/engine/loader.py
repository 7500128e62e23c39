# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""Data loaders: the order of the samples, collation, data in memory and data that come as a stream.

A loader has

- `for batch in loader`: the batches of one epoch on this device, any nest of tensors;
- `set_epoch(epoch, start_step=0)`: the epoch of the next `for`, and its first step; a `for`
  without it takes the epoch that follows;
- `len(loader)`: the steps of an epoch;
- `batch_size_at(step)`: the samples in the batch of a step of the run;
- `info`: a dictionary that tells models and figures about the data;
- `split`: "train", "val" or "test";
- `samples`: the number of samples, None if it is unknown;
- `sample_batch(number)`: some samples as one batch, for figures.
"""

import math
# {% if own.workers %}
import os
# {% endif %}
import random
# {% if own.workers %}
import signal
# {% endif %}
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from .batch import to_device
from .errors import UserError
from .runtime import Runtime

Augment = Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]
END = object()  # of an iterator


class InMemory(Dataset):
    """Samples held as tensors whose first dimension counts them.

    `info` tells models and figures about the data. `augment(batch, noise)` changes a whole batch on
    its device; `noise` is uniform in [0, 1), (batch, noise_columns). It depends on the seed and the
    step alone, so that a resumed run augments alike. `transform(sample)` changes one sample at a
    time, as the transforms of torchvision.transforms.v2 do, and `collate_fn(samples)` makes a batch
    of samples, which may come from lists of tensors of different lengths; either is slower.

    By the attribute `keys`, a hash of each sample, int64 (samples,), a checkpoint knows what it was
    trained on. With `indices`, int64 (samples,), the samples are these entries of the tensors.
    """

    def __init__(
        self,
        *tensors: Any,
        info: dict[str, Any] | None = None,
        augment: Augment | None = None,
        noise_columns: int = 8,
        transform: Callable[[Any], Any] | None = None,
        collate_fn: Callable[[list[Any]], Any] = default_collate,
    ):
        self.tensors = tensors
        self.info = info or {}
        self.augment = augment
        self.noise_columns = noise_columns
        self.transform = transform
        self.collate_fn = collate_fn
        self.keys: Tensor | None = None
        self.indices: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tensors[0] if self.indices is None else self.indices)

    def __getitem__(self, index: int) -> Any:
        if self.indices is not None:
            index = int(self.indices[index])
        sample = tuple(tensor[index] for tensor in self.tensors)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample


def seed_generators(seed: int) -> None:
    """Seed the generators of torch, Python and NumPy."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)


@contextmanager
def restored_generators() -> Iterator[None]:
    """Restore the states of the generators of torch, Python and NumPy afterwards."""
    numpy = sys.modules.get("numpy")
    torch_state = torch.get_rng_state()
    python_state = random.getstate()
    if numpy is not None:
        numpy_state = numpy.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)


class SeededDataset(Dataset):
    """A data set whose random transforms depend on the seed in the key alone."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Any]:
        samples = []
        with restored_generators():
            for index, seed in keys:
                seed_generators(seed)
                samples.append(self.dataset[index])
        return samples


class EpochBatchSampler:
    """Yields the (index, seed) keys of each batch; the loader sets them before every epoch."""

    keys: Iterator[list[tuple[int, int]]]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.keys


class Loader:
    """Batches of a data set with a length.

    A pass over the data meets every sample exactly once, without padding, in training in a new
    order. It is divided into ceil(samples / batch size) batches that differ by one sample at most.
    An epoch is one pass, or --steps-per-epoch steps: then the order continues over the epochs.
    # {% if cookiecutter.distributed != "none" %}
    Each process takes its part of each batch.
    # {% endif %}
    Raises UserError if there are too few samples.
    """

    def __init__(self, args: Namespace, runtime: Runtime, dataset: Any, split: str):
        self.args = args
        self.runtime = runtime
        self.dataset = dataset
        self.split = split
        self.info: dict[str, Any] = getattr(dataset, "info", {})
        self.epoch = 0
        self.start_step = 0
        self.tensors: list[Tensor] | None = None  # of data in memory, from the first batch on
        self.reader: DataLoader | None = None  # of other data

        train = split == "train"
        self.samples = len(dataset)
        batch_size = args.batch_size if train else math.ceil(args.batch_size / args.grad_accum)
        if args.quick and not train:
            self.samples = min(self.samples, 3 * batch_size)
        parts = args.grad_accum if train else 1  # that each batch is divided into
        # {% if cookiecutter.distributed != "none" %}
        parts *= runtime.processes.world_size
        if not train:
            batch_size = max(batch_size, 2 * parts)  # no process may have an empty batch
        # {% endif %}
        check_batch_size(args, parts)
        self.batches_per_pass = math.ceil(self.samples / batch_size)
        if not self.samples or self.samples < parts * self.batches_per_pass:
            raise UserError(
                f"{self.samples} samples are too few for the {split} split: "
                f"its batches, of --batch-size {args.batch_size}, need {parts} or more"
            )
        self.steps_per_epoch = self.batches_per_pass
        if train and args.steps_per_epoch:
            self.steps_per_epoch = args.steps_per_epoch

    def __len__(self) -> int:
        return self.steps_per_epoch

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch of the next `for batch in loader`, and its first step."""
        self.epoch = epoch
        self.start_step = start_step

    def __iter__(self) -> Iterator[Any]:
        steps = range(
            self.epoch * self.steps_per_epoch + self.start_step,
            (self.epoch + 1) * self.steps_per_epoch,
        )
        self.set_epoch(self.epoch + 1)  # for a loop that does not set the epoch
        dataset = self.dataset
        if not isinstance(dataset, InMemory):
            return self.batches_read(steps)
        if dataset.transform is not None or dataset.collate_fn is not default_collate:
            return self.batches_read(steps)
        return self.batches_in_memory(dataset, steps)

    def batches_in_memory(self, dataset: InMemory, steps: range) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches from the device if the data take less than a quarter of its free memory."""
        device = self.runtime.device
        if self.tensors is None:
            size = sum(tensor.nbytes for tensor in dataset.tensors)
            storage = device if size < self.runtime.free_memory() / 4 else torch.device("cpu")
            self.tensors = [tensor.to(storage) for tensor in dataset.tensors]
        storage = self.tensors[0].device
        pass_number = -1
        for step in steps:
            if pass_number != step // self.batches_per_pass:
                pass_number = step // self.batches_per_pass
                order = self.get_order(pass_number)
                if dataset.indices is not None:
                    order = dataset.indices[order]
                order = order.to(storage, non_blocking=True)
            chosen = self.take_batch(order, step % self.batches_per_pass)
            batch = tuple(
                tensor.index_select(0, chosen).to(device, non_blocking=True)
                for tensor in self.tensors
            )
            yield self.augment(batch, step)

    def batches_read(self, steps: range) -> Iterator[Any]:
        """Yield batches whose samples are read one by one and collated."""
        if self.reader is None:
            self.sampler = EpochBatchSampler()
            self.reader = DataLoader(
                SeededDataset(self.dataset),
                batch_sampler=self.sampler,  # type: ignore[arg-type]
                collate_fn=getattr(self.dataset, "collate_fn", None),
                # {% if own.workers %}
                num_workers=self.args.workers,
                persistent_workers=self.args.workers > 0,
                worker_init_fn=ignore_signals,
                # {% endif %}
                pin_memory=self.runtime.device.type == "cuda",
                generator=torch.Generator(),  # so that dropout does not depend on the reader
            )
        self.sampler.keys = self.sample_keys(steps)
        for batch, step in zip(self.reader, steps, strict=True):
            yield self.augment(to_device(batch, self.runtime.device), step)

    def augment(self, batch: Any, step: int) -> Any:
        """Return the batch of a step as the `augment` of data in memory changes it."""
        dataset = self.dataset
        if not isinstance(dataset, InMemory) or dataset.augment is None:
            return batch
        return dataset.augment(batch, self.augmentation_noise(dataset.noise_columns, step))

    def sample_keys(self, steps: range) -> Iterator[list[tuple[int, int]]]:
        """Yield the index of each sample of a batch, and the seed of its random transforms."""
        pass_number = -1
        for step in steps:
            if pass_number != step // self.batches_per_pass:
                pass_number = step // self.batches_per_pass
                order = self.get_order(pass_number)
                generator = self.generator(pass_number, step=-2)  # of no batch
                seeds = torch.randint(2**62, (len(self.dataset),), generator=generator)
            chosen = self.take_batch(order, step % self.batches_per_pass)
            yield list(zip(chosen.tolist(), seeds[chosen].tolist(), strict=True))

    def get_order(self, pass_number: int) -> Tensor:
        """Return the indices of all samples in the order of one pass over the data."""
        if self.split != "train":
            return torch.arange(self.samples)
        generator = self.generator(pass_number, step=-1)  # of no batch
        return torch.randperm(self.samples, generator=generator)

    def take_batch(self, order: Tensor, position: int) -> Tensor:
        """Return the indices of one of the batches, of nearly equal sizes, of a pass in `order`."""
        size, larger = divmod(self.samples, self.batches_per_pass)
        start = position * size + min(position, larger)
        # {% if cookiecutter.distributed == "none" %}
        return order[start : start + self.whole_batch_size(position)]
        # {% else %}
        batch = order[start : start + self.whole_batch_size(position)]
        processes = self.runtime.processes
        return batch.tensor_split(processes.world_size)[processes.rank]
        # {% endif %}

    def generator(self, pass_number: int, step: int) -> torch.Generator:
        """Return a random generator that depends on the seed, the pass and the step alone."""
        seed = (self.args.seed * 1_000_003 + pass_number) * 1_000_003 + step
        return torch.Generator().manual_seed(seed % 2**63)

    def augmentation_noise(self, columns: int, step: int) -> Tensor:
        """Return uniform noise for the augmentation of a batch, of the shape (batch, columns)."""
        pass_number, position = divmod(step, self.batches_per_pass)
        generator = self.generator(pass_number, position)
        noise = torch.rand(self.whole_batch_size(position), columns, generator=generator)
        # {% if cookiecutter.distributed != "none" %}
        processes = self.runtime.processes
        noise = noise.tensor_split(processes.world_size)[processes.rank]
        # {% endif %}
        return noise.to(self.runtime.device, non_blocking=True)

    def whole_batch_size(self, position: int) -> int:
        """Return the number of samples in a batch of a pass, as `tensor_split` divides them."""
        size, larger = divmod(self.samples, self.batches_per_pass)
        return size + 1 if position < larger else size

    def batch_size_at(self, step: int) -> float:
        # {% if cookiecutter.distributed != "none" %}
        """Return the samples in the batch of a step, divided by the number of processes."""
        size = self.whole_batch_size(step % self.batches_per_pass)
        return size / self.runtime.processes.world_size
        # {% else %}
        """Return the number of samples in the batch of a step."""
        return self.whole_batch_size(step % self.batches_per_pass)
        # {% endif %}

    def sample_batch(self, number: int) -> Any:
        """Return up to `number` samples from all over the data set as one batch."""
        last = len(self.dataset) - 1
        indices = torch.linspace(0, last, min(number, last + 1)).long().clamp(max=last)  # rounded
        samples = [self.dataset[index] for index in indices.tolist()]
        collate = getattr(self.dataset, "collate_fn", default_collate)
        return to_device(collate(samples), self.runtime.device)


class BatchStream(IterableDataset):
    """Cuts an iterable data set into batches of `batch_size` samples.

    In training, passes over the data follow each other without end, and `set_epoch(pass_number)` of
    the data set is called before each, if it has one. The random transforms of a sample depend on
    the seed and its number alone. Batches before number `start` are read and dropped.
    """

    def __init__(self, dataset: Any, batch_size: int, seed: int, endless: bool):
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.endless = endless
        self.start = 0
        # {% if cookiecutter.distributed != "none" %}
        self.rank = 0
        self.world_size = 1
        # {% endif %}

    def samples(self) -> Iterator[Any]:
        """Yield the samples of one pass, or of all passes."""
        number = 0
        for pass_number in count():
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(pass_number)
            iterator = iter(self.dataset)
            first = number
            while True:
                with restored_generators():
                    seed_generators((self.seed * 1_000_003 + number) % 2**63)
                    sample = next(iterator, END)
                if sample is END:
                    break
                yield sample
                number += 1
            if number == first:
                raise UserError(f"{type(self.dataset).__name__} yields no sample in a pass")
            if not self.endless:
                return

    def __iter__(self) -> Iterator[Any]:
        collate = getattr(self.dataset, "collate_fn", default_collate)
        samples = self.samples()
        for number in count():
            batch = list(islice(samples, self.batch_size))
            # {% if cookiecutter.distributed != "none" %}
            size = len(batch) // self.world_size  # the last batch may leave some over
            batch = batch[self.rank * size : (self.rank + 1) * size]
            # {% endif %}
            if not batch:
                return
            if number >= self.start:
                yield collate(batch)


class StreamLoader:
    """Batches of streaming data (torch.utils.data.IterableDataset), which have no length.

    An epoch has --steps-per-epoch steps.

    To resume, it reads the samples of all steps before and drops them.
    # {% if cookiecutter.distributed != "none" %}
    Each process reads the whole stream and takes its part of each batch; at the end of a validation
    or test stream fewer samples than processes may be left over, which are not counted.
    # {% endif %}
    """

    samples = None

    def __init__(self, args: Namespace, runtime: Runtime, dataset: Any, split: str):
        train = split == "train"
        if train and not args.steps_per_epoch:
            raise UserError("data without a length need --steps-per-epoch")
        self.args = args
        self.runtime = runtime
        self.dataset = dataset
        self.split = split
        self.info: dict[str, Any] = getattr(dataset, "info", {})
        batch_size = args.batch_size if train else math.ceil(args.batch_size / args.grad_accum)
        self.stream = BatchStream(dataset, batch_size, args.seed, endless=train)
        # {% if cookiecutter.distributed != "none" %}
        self.stream.rank = runtime.processes.rank
        self.stream.world_size = runtime.processes.world_size
        check_batch_size(args, runtime.processes.world_size * args.grad_accum)
        # {% else %}
        check_batch_size(args, args.grad_accum)
        # {% endif %}
        self.step = 0  # the next one to read
        self.start = 0  # the next one to train
        self.end = args.steps_per_epoch  # of its epoch
        self.batches: Iterator[Any] | None = None
        self.quick_steps = 3 if args.quick else None

    def __len__(self) -> int:
        return self.args.steps_per_epoch

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch of the next `for batch in loader`, and its first step."""
        if self.split == "train":
            self.start = epoch * len(self) + start_step
            self.end = (epoch + 1) * len(self)

    def __iter__(self) -> Iterator[Any]:
        if self.split != "train":
            return islice(self.read(), self.quick_steps)
        return self.training_batches()

    def training_batches(self) -> Iterator[Any]:
        """Yield the rest of an epoch; the stream is opened anew only if it is at another step."""
        if self.batches is None or self.step != self.start:
            self.stream.start = self.start
            self.step = self.start
            self.batches = self.read()
        end = self.end
        self.start = end  # for a loop that does not set the epoch
        self.end += len(self)
        while self.step < end:
            batch = next(self.batches)
            self.step += 1
            yield batch

    def read(self) -> Iterator[Any]:
        """Yield batches; one worker at most, as each would read the whole stream."""
        reader = DataLoader(
            self.stream,
            batch_size=None,
            # {% if own.workers %}
            num_workers=min(self.args.workers, 1),
            worker_init_fn=ignore_signals,
            # {% endif %}
            pin_memory=self.runtime.device.type == "cuda",
            generator=torch.Generator(),
        )
        for batch in reader:
            yield to_device(batch, self.runtime.device)

    def batch_size_at(self, step: int) -> float:
        # {% if cookiecutter.distributed != "none" %}
        """Return the samples in the batch of each step, divided by the number of processes."""
        # {% else %}
        """Return the number of samples in the batch of each step."""
        # {% endif %}
        # {% if cookiecutter.distributed != "none" %}
        return self.args.batch_size / self.runtime.processes.world_size
        # {% else %}
        return self.args.batch_size
        # {% endif %}

    def sample_batch(self, number: int) -> Any:
        """Return the first `number` samples as one batch."""
        collate = getattr(self.dataset, "collate_fn", default_collate)
        samples = list(islice(iter(self.dataset), number))
        return to_device(collate(samples), self.runtime.device)


AnyLoader = Loader | StreamLoader


def check_batch_size(args: Namespace, parts: int) -> None:
    """Raise UserError if a batch cannot be divided into `parts` of equal size."""
    if args.batch_size % parts:
        # {% if cookiecutter.distributed == "none" %}
        raise UserError(
            f"--batch-size {args.batch_size} must be a multiple of --grad-accum {parts}"
        )
        # {% else %}
        raise UserError(
            f"--batch-size {args.batch_size} must be a multiple of {parts}: "
            "the number of processes x --grad-accum"
        )
        # {% endif %}
# {% if own.workers %}


def ignore_signals(_worker: int) -> None:
    """Make DataLoader workers ignore Ctrl-C and group signals; the main program ends them."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        os.setpgrp()
# {% endif %}
