"""The models that --model chooses from."""

from collections.abc import Callable

from torch import Tensor, nn


class Line(nn.Module):
    """A straight line through the origin: one number in, one out."""

    def __init__(self, *, inputs: int, outputs: int):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, inputs: Tensor) -> Tensor:  # (batch, inputs)
        return self.layer(inputs)  # (batch, outputs)


BLOCKS = ()
MODELS: dict[str, Callable[..., nn.Module]] = {"line": Line}
