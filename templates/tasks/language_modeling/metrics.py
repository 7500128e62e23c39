"""Metrics that torchmetrics does not have."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class BitsPerCharacter(Metric):
    """Cross entropy in bits over the number of characters: comparable between tokenizers.

    The characters are those of the targets, counted by the text of each token.
    """

    higher_is_better = False
    lengths: Tensor
    nats: Tensor
    units: Tensor

    def __init__(self, vocabulary: list[str]):
        super().__init__()
        lengths = [self.count(token.encode("utf-8", "surrogateescape")) for token in vocabulary]
        self.register_buffer("lengths", torch.tensor(lengths))
        self.add_state("nats", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("units", torch.tensor(0), dist_reduce_fx="sum")

    def count(self, data: bytes) -> int:
        """Return the characters that begin in a token."""
        # All bytes of a character but its first are 0b10...... in UTF-8.
        return sum(byte & 0b11000000 != 0b10000000 for byte in data)

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count logits (batch, context, vocabulary) of targets (batch, context)."""
        self.nats += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        self.units += self.lengths[targets].sum()

    def compute(self) -> Tensor:
        return self.nats / math.log(2) / self.units


class BitsPerByte(BitsPerCharacter):
    """Cross entropy in bits over the number of bytes in UTF-8: what compression would reach."""

    def count(self, data: bytes) -> int:
        return len(data)
