"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """Numbers in, numbers out."""

    inputs = ("inputs",)  # float32 (batch, 1)
    outputs = ("outputs",)  # float32 (batch, 1)
    dynamic = (0,)  # dimensions of any size
    card = "other"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.model(inputs),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return (batch,)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        return "", "inputs = numpy.float32([[0.5]])\n", "print(outputs[0, 0])\n"
