"""A task of sequences, to add to a project: a file of its package.

A batch is a dictionary. Sequences have different lengths, so that a batch is padded, and the loss
is a mean over tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, IterableDataset

TOKENS = 11
PADDING = -1  # of the targets


class Sequences(Dataset):
    """Sequences of numbers that grow by 3 modulo 11, with some that are wrong; all of 8 tokens."""

    def __init__(self, first: int, number: int):
        self.first = first
        self.number = number
        self.info = {"tokens": TOKENS}

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.make(index, length=8)

    def make(self, index: int, length: int) -> dict[str, Tensor]:
        """Return inputs and targets, each of the shape (length,)."""
        generator = torch.Generator().manual_seed(self.first + index)
        tokens = (index + 3 * torch.arange(length + 1)) % TOKENS
        wrong = torch.rand(length + 1, generator=generator) < 0.1
        tokens[wrong] = torch.randint(TOKENS, (length + 1,), generator=generator)[wrong]
        return {"inputs": tokens[:-1], "targets": tokens[1:]}


class RaggedSequences(Sequences):
    """Sequences of 1 to 15 tokens."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.make(index, length=1 + (index * index) % 15)

    @staticmethod
    def collate_fn(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return a batch, padded to its longest sequence."""
        inputs = [sample["inputs"] for sample in samples]
        targets = [sample["targets"] for sample in samples]
        return {
            "inputs": pad_sequence(inputs, batch_first=True),
            "targets": pad_sequence(targets, batch_first=True, padding_value=PADDING),
        }


class Stream(IterableDataset):
    """Sequences that come one after another, without a length."""

    collate_fn = staticmethod(RaggedSequences.collate_fn)

    def __init__(self, sequences: RaggedSequences):
        self.sequences = sequences
        self.info = sequences.info

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in range(len(self.sequences)):
            sample = self.sequences[index]
            sample["inputs"] = sample["inputs"].clone()
            if torch.rand(()) < 0.3:  # a random transform
                sample["inputs"][0] = 0
            yield sample


def equal_lengths(_args: Any) -> tuple[Any, Any, Any]:
    return Sequences(0, 150), Sequences(150, 50), Sequences(200, 50)


def ragged(_args: Any) -> tuple[Any, Any, Any]:
    return RaggedSequences(0, 150), RaggedSequences(150, 50), RaggedSequences(200, 50)


def stream(args: Any) -> tuple[Any, Any, Any]:
    train, val, test = ragged(args)
    return Stream(train), val, Stream(test)


def empty_stream(args: Any) -> tuple[Any, Any, Any]:
    train, _, test = stream(args)
    return train, Stream(RaggedSequences(0, 0)), test


SPLITS = {
    "equal_lengths": equal_lengths,
    "ragged": ragged,
    "stream": stream,
    "empty_stream": empty_stream,
}


class NextToken(nn.Module):
    """Predicts each token from the one before."""

    def __init__(self, *, tokens: int, width: int = 16):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.head = nn.Linear(width, tokens)

    def forward(self, inputs: Tensor) -> Tensor:  # (batch, length)
        return self.head(self.embedding(inputs).tanh())  # (batch, length, tokens)


def get_model_arguments(_args: Any, info: dict[str, Any]) -> dict[str, Any]:
    return {"tokens": info["tokens"]}


def get_objective(_args: Any, _info: dict[str, Any]) -> Any:
    """Return cross entropy as a mean over tokens, and the accuracy behind even tokens."""

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Any]:
        inputs, targets = batch["inputs"], batch["targets"]  # (batch, length)
        logits = model(inputs)  # (batch, length, tokens)
        known = targets != PADDING
        total = F.cross_entropy(logits[known], targets[known], reduction="sum")
        weight = known.sum()
        even = known & (inputs % 2 == 0)
        correct = (logits.argmax(dim=2) == targets) & even
        return {
            "loss": total / weight,
            "weight": weight,
            "even_accuracy": (correct.sum() / even.sum().clamp(min=1), even.sum()),
            "predictions": logits[known],
            "targets": targets[known],
        }

    return objective


def get_metrics(_args: Any, runtime: Any, _info: dict[str, Any]) -> Any:
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy

    accuracy = MulticlassAccuracy(TOKENS, average="micro", validate_args=False)
    return MetricCollection({"accuracy": accuracy}).to(runtime.device)


def make_figures(*_: Any) -> dict[str, Any]:
    return {}
