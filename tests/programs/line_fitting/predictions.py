"""Predictions for numbers of the command line."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from .engine.prediction import find_output, writing
from .engine.runtime import Runtime


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add the inputs of the command line."""
    parser.add_argument("inputs", nargs="+", type=float, metavar="INPUT", help="number")


class Inputs:
    """All numbers as one batch."""

    failed = 0

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.batch = torch.tensor(args.inputs, device=runtime.device).unsqueeze(1)  # (inputs, 1)

    def __iter__(self) -> Iterator[tuple[list[int], Tensor]]:
        yield list(range(len(self.batch))), self.batch


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Tensor) -> Tensor:
    """Return the outputs of the model, (batch, 1)."""
    return model(batch)


class Output(ExitStack):
    """A file with a line for each number."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        super().__init__()
        self.path = find_output(args, "predictions.txt")
        self.file = self.enter_context(writing(self.path))

    def add(self, indices: list[int], outputs: Tensor) -> None:
        """Write the outputs of a batch."""
        self.file.write_text("".join(f"{value}\n" for value in outputs.flatten().tolist()))

    def summary(self) -> str:
        """Return what was written."""
        return f"predictions: {self.path}"
