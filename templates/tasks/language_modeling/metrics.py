"""Metrics that torchmetrics does not have."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class BitsPerCharacter(Metric):
    """Cross entropy in bits over the number of characters: comparable between vocabularies."""

    higher_is_better = False
    lengths: Tensor
    nats: Tensor
    characters: Tensor

    def __init__(self, vocabulary: list[str]):
        super().__init__()
        lengths = []
        for token in vocabulary:
            data = token.encode("utf-8", "surrogateescape")
            # All bytes of a character but its first are 0b10...... in UTF-8.
            lengths.append(sum(byte & 0b11000000 != 0b10000000 for byte in data))
        self.register_buffer("lengths", torch.tensor(lengths))
        self.add_state("nats", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("characters", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count logits (batch, context, vocabulary) of targets (batch, context)."""
        self.nats += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        self.characters += self.lengths[targets].sum()

    def compute(self) -> Tensor:
        return self.nats / math.log(2) / self.characters
