"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """The last known steps in, the next ones out, all of them standardized."""

    outputs = ("forecasts",)  # float32 (batch, horizon, targets)
    dynamic = (0,)  # dimensions of any size
    card = "time-series-forecasting"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model
        self.inputs = ["past"]  # float32 (batch, context, channels)
        if info["known"]:
            self.inputs.append("future")  # float32 (batch, horizon, known)

    def forward(self, past: Tensor, future: Tensor | None = None) -> tuple[Tensor, ...]:
        return (self.model(past, future),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return tuple(batch)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        prepare = f"{PAST}{FUTURE}" if len(self.inputs) > 1 else PAST
        return "", f"{SCALE}{prepare}", RESULT


SCALE = """\
number = 0  # of the series, if there are several
mean = numpy.array(info["mean"]).reshape(-1, len(info["channels"]))[number]
std = numpy.array(info["std"]).reshape(-1, len(info["channels"]))[number]
"""
PAST = """\
values = numpy.tile(mean, (info["context"], 1))  # your last steps, (context, channels)
past = numpy.float32((values - mean) / std)[numpy.newaxis]
"""
FUTURE = """\
known = len(info["known"])
values = numpy.tile(mean[-known:], (info["horizon"], 1))  # what you know of the next steps
future = numpy.float32((values - mean[-known:]) / std[-known:])[numpy.newaxis]
"""
RESULT = """\
targets = len(info["targets"])
print((forecasts[0] * std[:targets] + mean[:targets]).round(2))
"""
