"""What all training loops of `loop.py` have in common: models, data, loss, optimizer, clock.

A rendered project gets this file, too, and imports its models and data from it.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

BATCH = 32
CLASSES = 10


def tiny_mlp(**_: Any) -> nn.Module:
    """Return the worst case: a model whose step takes hardly longer than the loop around it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def small_cnn(**_: Any) -> nn.Module:
    """Return three convolutions with batch norm for images of 32 x 32 pixels."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, CLASSES))


class Work(NamedTuple):
    """A model and the shape of its samples, and how long it is measured."""

    model: Callable[..., nn.Module]
    shape: tuple[int, int, int]  # channels, height, width
    steps: int  # of an epoch
    epochs: int
    lr: float


WORK = {
    "tiny MLP": Work(tiny_mlp, (1, 4, 8), steps=400, epochs=10, lr=0.001),
    "CNN": Work(small_cnn, (3, 32, 32), steps=20, epochs=5, lr=0.001),
}


def make_data(work: Work, steps: int) -> tuple[Tensor, Tensor]:
    """Return random samples for `steps` batches, and classes that a linear model can learn."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps * BATCH, *work.shape, generator=generator)
    weights = torch.randn(inputs[0].numel(), CLASSES, generator=generator)
    return inputs, (inputs.flatten(1) @ weights).argmax(dim=1)


def compute_loss(logits: Tensor, classes: Tensor, label_smoothing: float = 0.1) -> Tensor:
    """Return the loss that the rendered project has by default."""
    return F.cross_entropy(logits, classes, label_smoothing=label_smoothing)


def get_model(work: Work) -> nn.Module:
    """Return a model for the bare loop, which several processes train together."""
    model = work.model()
    return DistributedDataParallel(model) if distributed.is_initialized() else model


def make_optimizer(model: nn.Module, work: Work) -> torch.optim.Optimizer:
    """Return the optimizer that the rendered project has by default."""
    return torch.optim.AdamW(model.parameters(), lr=work.lr, weight_decay=0.05, fused=True)


class WholeBatches(Dataset):
    """Samples in memory of which a DataLoader takes a batch at once."""

    def __init__(self, inputs: Tensor, classes: Tensor):
        self.inputs = inputs
        self.classes = classes

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.classes[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(indices)
        return self.inputs[chosen], self.classes[chosen]


def keep(batch: Any) -> Any:
    """Return a batch that is collated already."""
    return batch


def make_loader(data: tuple[Tensor, Tensor]) -> DataLoader:
    """Return the DataLoader that the bare loop and all frameworks get, for this process."""
    dataset = WholeBatches(*data)
    if distributed.is_initialized():
        size = BATCH // distributed.get_world_size()
        sampler = DistributedSampler(dataset)
        return DataLoader(dataset, batch_size=size, sampler=sampler, collate_fn=keep)
    return DataLoader(dataset, batch_size=BATCH, shuffle=True, collate_fn=keep)


def make_plain_loader(data: tuple[Tensor, Tensor]) -> DataLoader:
    """Return the DataLoader of most examples, which collates single samples."""
    return DataLoader(TensorDataset(*data), batch_size=BATCH, shuffle=True)


class Indexed:
    """Yields the batches of an epoch without a DataLoader."""

    def __init__(self, data: tuple[Tensor, Tensor]):
        self.inputs, self.classes = data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(len(self.inputs)).split(BATCH):
            yield self.inputs[chosen], self.classes[chosen]


def train_bare(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Any,
    loss_function: Callable[[Tensor, Tensor], Tensor] = compute_loss,
) -> None:
    """Train for an epoch, and do nothing else."""
    for inputs, classes in batches:
        loss = loss_function(model(inputs), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def now() -> tuple[float, float]:
    """Return the CPU time of this process, and the time of the clock on the wall."""
    return time.process_time(), time.perf_counter()


class Clock:
    """Measures the epochs of a loop, each after a burst of the bare loop in the same process."""

    def __init__(self, work: Work, steps: int):
        self.steps = steps
        self.burst = make_loader(make_data(work, max(1, steps // 2)))
        self.model = get_model(work)
        self.optimizer = make_optimizer(self.model, work)
        self.epochs: list[dict[str, tuple[float, float]]] = []  # microseconds a step

    def start(self, *_: Any) -> None:
        """Run a burst of the bare loop, then start to measure an epoch."""
        start = now()
        train_bare(self.model, self.optimizer, self.burst)
        self.started_at = now()
        self.bare = self.per_step(start, self.started_at, len(self.burst))

    def stop(self, *_: Any) -> None:
        """Note the time of an epoch."""
        loop = self.per_step(self.started_at, now(), self.steps)
        self.epochs.append({"bare": self.bare, "loop": loop})

    def per_step(
        self, start: tuple[float, float], end: tuple[float, float], steps: int
    ) -> tuple[float, float]:
        """Return the microseconds of a step: of the CPU, and on the wall."""
        cpu, wall = (1e6 * (b - a) / steps for a, b in zip(start, end, strict=True))
        return cpu, wall


def get_splits(name: str, steps: int, in_memory: Any, args: Namespace) -> tuple[Any, Any, Any]:
    """Return the data as the splits of a rendered project."""
    del args  # the data have no options
    work = WORK[name]
    channels, height, _ = work.shape
    info = {
        "classes": [str(number) for number in range(CLASSES)],
        "channels": channels,
        "image_size": height,
        "mean": torch.zeros(channels, 1, 1),
        "std": torch.ones(channels, 1, 1),
    }
    train = in_memory(*make_data(work, steps), info=info)
    small = make_data(work, 2)
    return train, in_memory(*small, info=info), in_memory(*small, info=info)
