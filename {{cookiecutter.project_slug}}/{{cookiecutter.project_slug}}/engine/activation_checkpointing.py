"""Activation checkpointing: activations that are computed again instead of kept."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models import BLOCKS
from .errors import UserError


def checkpoint_blocks(model: nn.Module, name: str) -> None:
    """Let each block of BLOCKS keep its input alone; the backward pass computes the rest again.

    Blocks and weights keep their names: only the blocks' `forward` changes, so that what wraps a
    block later, such as FSDP, surrounds both passes. Raises UserError if the model has no such
    block.

    Chen et al. 2016, https://arxiv.org/abs/1604.06174
    """
    found = [module for module in model.modules() if isinstance(module, BLOCKS)]
    if not found:
        raise UserError(
            f"--activation-checkpointing: --model {name} has none of the BLOCKS in models.py"
        )
    for block in found:
        vars(block)["forward"] = MethodType(forward, block)


def forward(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Take the place of a block's `forward`."""
    compute = partial(type(block).forward, block)
    if not torch.is_grad_enabled():
        return compute(*args, **kwargs)
    if torch.compiler.is_compiling():  # the compiler keeps changes of buffers out of recomputation
        return checkpoint(compute, *args, use_reentrant=False, **kwargs)
    contexts = partial(get_contexts, block)
    return checkpoint(compute, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def get_contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Return the contexts of the forward pass and of its repetition."""
    return nullcontext(), use_copied_buffers(block)


@contextmanager
def use_copied_buffers(block: nn.Module) -> Iterator[None]:
    """Keep the buffers of a block as they are, such as batch norm's statistics.

    The first pass has updated them; the second one works on copies, which are thrown away.
    """
    kept = []
    for module in block.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            kept.append((module, name, buffer))
            setattr(module, name, buffer.clone())
    try:
        yield
    finally:  # the second pass ends with an exception as soon as it has what it needs
        for module, name, buffer in kept:
            setattr(module, name, buffer)
