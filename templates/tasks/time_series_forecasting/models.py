"""The models: the last steps of some channels in, the next steps of the targets out.

The channels are the targets, then other inputs, then `known` ones, of which a model is also given
the next steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT = 0.2  # share of the features of PatchTST and GRU that are dropped in training


class AddInputs(nn.Module):
    """Adds to the forecast of the targets a linear function of the other channels in the same step.

    These are other forecasts, and true values of what is known in advance. Without other channels
    it changes nothing.
    """

    def __init__(self, targets: int, channels: int):
        super().__init__()
        self.targets = targets
        self.linear = None
        if channels > targets:
            self.linear = nn.Linear(channels - targets, targets, bias=False)
            nn.init.zeros_(self.linear.weight)

    def forward(self, forecast: Tensor, known: Tensor | None) -> Tensor:
        # (batch, horizon, channels), (batch, horizon, known)
        if self.linear is None:
            return forecast
        if known is not None:
            forecast = torch.cat((forecast[:, :, : -known.shape[2]], known), dim=2)
        others = forecast[:, :, self.targets :]
        return forecast[:, :, : self.targets] + self.linear(others)  # (batch, horizon, targets)


class DLinear(nn.Module):
    """One linear layer for the trend and one for the rest, shared by all channels.

    The trend is a moving average over `kernel` steps, an odd number.
    Source: Zeng et al. 2023, https://arxiv.org/abs/2205.13504.
    """

    def __init__(
        self, *, channels: int, context: int, horizon: int, targets: int = 0, kernel: int = 25
    ):
        super().__init__()
        self.kernel = kernel
        self.trend = nn.Linear(context, horizon)
        self.rest = nn.Linear(context, horizon)
        for layer in (self.trend, self.rest):
            nn.init.constant_(layer.weight, 1 / context)  # both start as a mean
        self.add_inputs = AddInputs(targets or channels, channels)

    def forward(self, inputs: Tensor, known: Tensor | None = None) -> Tensor:
        # (batch, context, channels), (batch, horizon, known)
        inputs = inputs.transpose(1, 2)  # (batch, channels, context)
        padded = F.pad(inputs, (self.kernel // 2, self.kernel // 2), mode="replicate")
        trend = F.avg_pool1d(padded, self.kernel, stride=1)  # (batch, channels, context)
        forecast = self.trend(trend) + self.rest(inputs - trend)  # (batch, channels, horizon)
        # FSDP warns of an output that is a view.
        forecast = forecast.transpose(1, 2).contiguous()
        return self.add_inputs(forecast, known)  # (batch, horizon, targets)


def normalize(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return windows (batch, context, channels) standardized over time, their means and deviations.

    A forecast that is scaled back follows a level that training has not seen (Kim et al. 2022,
    https://openreview.net/forum?id=cGDAkQo1C0p).
    """
    mean = inputs.mean(dim=1, keepdim=True)  # (batch, 1, channels)
    std = (inputs.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
    return (inputs - mean) / std, mean, std


class PatchTST(nn.Module):
    """A transformer over overlapping patches of each channel by itself (Nie et al. 2023).

    `width` must be a multiple of 4, the number of attention heads.
    Source: https://arxiv.org/abs/2211.14730.
    """

    def __init__(
        self,
        *,
        channels: int,
        context: int,
        horizon: int,
        targets: int = 0,
        width: int = 64,
        layers: int = 3,
    ):
        super().__init__()
        self.patch = min(16, context)
        self.stride = max(self.patch // 2, 1)
        # The end is padded by a stride, as in the paper.
        patches = (context - self.patch) // self.stride + 2
        self.embed = nn.Linear(self.patch, width)
        self.positions = nn.Parameter(0.02 * torch.randn(patches, width))
        layer = nn.TransformerEncoderLayer(
            width,
            nhead=4,
            dim_feedforward=2 * width,
            dropout=DROPOUT,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(patches * width, horizon)
        )
        self.add_inputs = AddInputs(targets or channels, channels)

    def forward(self, inputs: Tensor, known: Tensor | None = None) -> Tensor:
        # (batch, context, channels), (batch, horizon, known)
        inputs, mean, std = normalize(inputs)
        batch, _, channels = inputs.shape
        padded = F.pad(inputs.transpose(1, 2), (0, self.stride), mode="replicate")
        patches = padded.flatten(0, 1).unfold(1, self.patch, self.stride)
        tokens = self.embed(patches) + self.positions
        encoded = self.encoder(tokens)  # (batch * channels, patches, width)
        forecast = self.head(encoded).view(batch, channels, -1).transpose(1, 2)
        return self.add_inputs(forecast * std + mean, known)  # (batch, horizon, targets)


class GRU(nn.Module):
    """A gated recurrent network over all channels at once (Cho et al. 2014).

    Source: https://arxiv.org/abs/1406.1078.
    """

    def __init__(
        self,
        *,
        channels: int,
        context: int,
        horizon: int,
        targets: int = 0,
        width: int = 128,
        layers: int = 1,
    ):
        super().__init__()
        self.gru = nn.GRU(channels, width, layers, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, horizon * channels))
        self.add_inputs = AddInputs(targets or channels, channels)

    def forward(self, inputs: Tensor, known: Tensor | None = None) -> Tensor:
        # (batch, context, channels), (batch, horizon, known)
        inputs, mean, std = normalize(inputs)
        states, _ = self.gru(inputs)  # (batch, context, width)
        forecast = self.head(states[:, -1]).view(inputs.shape[0], -1, inputs.shape[2])
        return self.add_inputs(forecast * std + mean, known)  # (batch, horizon, targets)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "dlinear": DLinear,
    "patchtst": PatchTST,
    "gru": GRU,
}
BLOCKS = (nn.TransformerEncoderLayer,)  # that PatchTST repeats
