"""The architectures that --model chooses from: the last steps of some channels in, their next steps out.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers, which
is `PatchTST`'s `encoder.layers`. `DLinear` has no such list, and is divided as one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DLinear(nn.Module):
    """One linear layer for the trend and one for what is left, shared by all channels.

    The trend is a moving average over `kernel` steps, an odd number. Zeng et al. 2023, https://arxiv.org/abs/2205.13504.
    """

    def __init__(self, *, channels: int, context: int, horizon: int, kernel: int = 25):
        super().__init__()
        self.kernel = kernel
        self.trend, self.rest = nn.Linear(context, horizon), nn.Linear(context, horizon)
        for layer in (self.trend, self.rest):
            nn.init.constant_(layer.weight, 1 / context)  # both begin as a mean

    def forward(self, inputs: Tensor) -> Tensor:  # (batch, context, channels)
        inputs = inputs.transpose(1, 2)  # (batch, channels, context)
        padded = F.pad(inputs, (self.kernel // 2, self.kernel // 2), mode="replicate")
        trend = F.avg_pool1d(padded, self.kernel, stride=1)  # (batch, channels, context)
        return (self.trend(trend) + self.rest(inputs - trend)).transpose(1, 2)  # (batch, horizon, channels)


def normalise(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the windows (batch, context, channels) standardised over time, their means and their deviations.

    A forecast that is scaled back follows a level that training has not seen (Kim et al. 2022,
    https://openreview.net/forum?id=cGDAkQo1C0p).
    """
    mean = inputs.mean(dim=1, keepdim=True)  # (batch, 1, channels)
    deviation = (inputs.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
    return (inputs - mean) / deviation, mean, deviation


class PatchTST(nn.Module):
    """A transformer over overlapping patches of each channel by itself (Nie et al. 2023).

    Source: https://arxiv.org/abs/2211.14730. `width` must be a multiple of `heads`.
    """

    def __init__(
        self, *, channels: int, context: int, horizon: int, patch: int = 16, width: int = 64, layers: int = 3,
        heads: int = 4, dropout: float = 0.2,
    ):  # fmt: skip
        super().__init__()
        self.patch = min(patch, context)
        self.stride = max(self.patch // 2, 1)
        patches = (context - self.patch) // self.stride + 2  # the end is padded by a stride, as in the paper
        self.embed = nn.Linear(self.patch, width)
        self.positions = nn.Parameter(0.02 * torch.randn(patches, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(patches * width, horizon))

    def forward(self, inputs: Tensor) -> Tensor:  # (batch, context, channels)
        inputs, mean, deviation = normalise(inputs)
        batch, _, channels = inputs.shape
        series = F.pad(inputs.transpose(1, 2), (0, self.stride), mode="replicate").flatten(0, 1)
        tokens = self.embed(series.unfold(1, self.patch, self.stride)) + self.positions
        encoded = self.encoder(tokens)  # (batch * channels, patches, width)
        forecast = self.head(encoded).view(batch, channels, -1).transpose(1, 2)
        return forecast * deviation + mean  # (batch, horizon, channels)


class GRU(nn.Module):
    """A gated recurrent network that reads all channels at once (Cho et al. 2014, https://arxiv.org/abs/1406.1078)."""

    def __init__(
        self, *, channels: int, context: int, horizon: int, width: int = 128, layers: int = 1, dropout: float = 0.2
    ):
        super().__init__()
        self.gru = nn.GRU(channels, width, layers, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, horizon * channels))

    def forward(self, inputs: Tensor) -> Tensor:  # (batch, context, channels)
        inputs, mean, deviation = normalise(inputs)
        states, _ = self.gru(inputs)  # (batch, context, width)
        forecast = self.head(states[:, -1]).view(len(inputs), -1, inputs.shape[2])
        return forecast * deviation + mean  # (batch, horizon, channels)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "dlinear": DLinear,
    "patchtst": PatchTST,
    "gru": GRU,
}
