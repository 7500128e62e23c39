"""A function for networks."""

import torch
from torch import nn


@torch.no_grad()
def scale(net: nn.Linear, factor: float) -> nn.Linear:
    """Set all weights to a factor."""
    net.weight.fill_(factor)
    return net
