"""Trains a model of three blocks for a step, with and without activation checkpointing.

Prints JSON: whether output, gradients and buffers are equal, and the bytes that were kept for the
backward pass, without and with it.
"""

import json
from copy import deepcopy
from typing import Any

import torch
from my_project.engine import activation_checkpointing
from torch import Tensor, nn


class Block(nn.Module):
    """Batch norm, which changes its buffers, and dropout, which draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 128), nn.BatchNorm1d(128), nn.GELU())
        self.layers += nn.Sequential(nn.Dropout(0.5), nn.Linear(128, 32))

    def forward(self, x: Tensor, *, scale: float) -> Tensor:
        return x + scale * self.layers(x)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block(), Block()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, scale=0.5)
        return x


kept = [0, 0]


def train(model: nn.Module, index: int) -> dict[str, Tensor]:
    """Return what a step leaves, and count the bytes of what it keeps."""
    torch.manual_seed(0)

    def count(tensor: Tensor) -> Any:
        kept[index] += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = model(torch.randn(64, 32))
    output.square().mean().backward()
    left = {"output": output, "next": torch.rand(1), **dict(model.named_buffers())}
    return left | {f"{name}.grad": value.grad for name, value in model.named_parameters()}


torch.manual_seed(1)
plain = Model()
checkpointed = deepcopy(plain)
activation_checkpointing.BLOCKS = (Block,)
activation_checkpointing.checkpoint_blocks(checkpointed, "model")
names = checkpointed.state_dict().keys() == plain.state_dict().keys()
one, other = train(plain, 0), train(deepcopy(checkpointed), 1)
equal = {name: torch.equal(one[name], other[name]) for name in one}
print(json.dumps({"names": names, "equal": equal, "kept": kept}))
