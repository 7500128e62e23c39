"""An objective that finds no room for a micro-batch of over 16 samples, from its 30th call on.

To add to a project: a file of its package, which utils.py imports at its end.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from . import utils

ROOM = 16
get_own_objective = utils.get_objective


def get_objective(*arguments: Any) -> Callable[..., dict[str, Any]]:
    """Return the project's objective, which sometimes fails as torch does."""
    own_objective = get_own_objective(*arguments)
    calls = []

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        calls.append(len(batch[0]))
        if len(calls) >= 30 and calls[-1] > ROOM:
            raise torch.OutOfMemoryError("CUDA out of memory.\nMore lines.")
        return own_objective(model, batch)

    return objective
