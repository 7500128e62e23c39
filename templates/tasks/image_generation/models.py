"""The architectures that --model chooses from: models that learn to make images like those they were trained on.

Each is called in two ways. `model(noise, labels, images, times)` returns the loss of each image, (batch,), and
`model(noise, labels)` returns new images of the classes `labels`, one for each row of `noise`, at all stages of their
making: (stages, batch, channels, height, width), the finished ones last. Images are valued from -1 to 1, `noise` is
standard normal and of the shape of the images, and `times` are uniform from 0 to 1.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def image_sizes(image_size: int) -> list[int]:
    """Return the sides of an image that is halved until it has at most 4 pixels."""
    sizes = [image_size]
    while sizes[-1] > 4:
        sizes.append(math.ceil(sizes[-1] / 2))
    return sizes


class Block(nn.Module):
    """Two convolutions beside a shortcut, under a condition that scales and shifts what is between them.

    Such a condition is FiLM (Perez et al. 2018, https://arxiv.org/abs/1709.07871).
    """

    def __init__(self, in_channels: int, out_channels: int, condition: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.film = nn.Linear(condition, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # at first a block is its shortcut

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:  # (batch, channels, height, width), (batch, condition)
        scale, shift = self.film(F.silu(condition))[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return self.shortcut(x) + self.conv2(F.silu(hidden))


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) that knows time and class of its input."""

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int):
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.logspace(0, 3, width // 2))  # radians per unit of time
        self.time = nn.Sequential(nn.Linear(2 * (width // 2), 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.label = nn.Embedding(num_classes, 4 * width)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        widths = [min(2**level, 4) * width for level in range(len(image_sizes(image_size)))]
        pairs = list(pairwise(widths))  # (finer, coarser)
        self.down_blocks = nn.ModuleList(Block(fine, fine, 4 * width) for fine, _ in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.middle = Block(widths[-1], widths[-1], 4 * width)
        self.up_blocks = nn.ModuleList(Block(coarse + fine, fine, 4 * width) for fine, coarse in pairs)
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:  # (batch, channels, height, width), (batch,)
        angles = times[:, None] * self.frequencies
        condition = self.time(torch.cat((angles.cos(), angles.sin()), dim=1)) + self.label(labels)
        x, skips = self.enter(x), []
        for down, shrink in zip(self.down_blocks, self.shrink, strict=True):
            x = down(x, condition)
            skips.append(x)
            x = shrink(x)
        x = self.middle(x, condition)
        for up, skip in zip(reversed(self.up_blocks), reversed(skips), strict=True):
            x = up(torch.cat((F.interpolate(x, skip.shape[2:]), skip), dim=1), condition)
        return self.leave(x)  # like x


class FlowMatching(nn.Module):
    """Flow matching (Lipman et al. 2023, https://arxiv.org/abs/2210.02747) along straight paths from noise to image.

    A network learns the velocity on the way, which is followed in `steps` steps of the midpoint method.
    """

    def __init__(self, *, velocity: Callable[..., nn.Module], steps: int, **shape: int):
        super().__init__()
        self.velocity, self.steps = velocity(**shape), steps

    def forward(
        self, noise: Tensor, labels: Tensor, images: Tensor | None = None, times: Tensor | None = None
    ) -> Tensor:
        if images is None or times is None:
            return self.sample(noise, labels)
        part = times[:, None, None, None]
        velocities = self.velocity((1 - part) * noise + part * images, times, labels)
        return (velocities - (images - noise)).square().mean(dim=(1, 2, 3))  # (batch,)

    def sample(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return what becomes of `noise` after each step."""
        x, stages = noise, [noise]
        for time in torch.arange(self.steps, device=noise.device) / self.steps:
            times = time.expand(len(x))
            middle = x + self.velocity(x, times, labels) / (2 * self.steps)
            x = x + self.velocity(middle, times + 1 / (2 * self.steps), labels) / self.steps
            stages.append(x)
        return torch.stack(stages)  # (steps + 1, batch, channels, height, width)


class VAE(nn.Module):
    """Variational autoencoder (Kingma & Welling 2014, https://arxiv.org/abs/1312.6114) under the condition of a class.

    The loss is the negative evidence lower bound in nats for each value of an image, with a learned variance of the
    values (Rybkin et al. 2021, https://arxiv.org/abs/2006.13202). It needs no times.
    """

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int, latent: int = 32):
        super().__init__()
        self.sizes, self.latent = image_sizes(image_size), min(latent, channels * image_size**2)
        widths = [min(2**level, 4) * width for level in range(len(self.sizes))]
        pairs = list(pairwise(widths))  # (finer, coarser)
        self.inner = (widths[-1], self.sizes[-1], self.sizes[-1])
        self.label = nn.Embedding(num_classes, 4 * width)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down_blocks = nn.ModuleList(Block(fine, fine, 4 * width) for fine, _ in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.encode = nn.Linear(math.prod(self.inner), 2 * self.latent)
        self.decode = nn.Linear(self.latent, math.prod(self.inner))
        self.up_blocks = nn.ModuleList(Block(coarse, fine, 4 * width) for fine, coarse in pairs)
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))
        self.log_variance = nn.Parameter(torch.tensor(-3.0))

    def forward(
        self, noise: Tensor, labels: Tensor, images: Tensor | None = None, times: Tensor | None = None
    ) -> Tensor:
        noise = noise.flatten(1)[:, : self.latent]  # one number for each dimension of the latent space
        if images is None:
            return self.sample(noise, labels).unsqueeze(0)  # (1, batch, channels, height, width)
        condition, x = self.label(labels), self.enter(images)
        for down, shrink in zip(self.down_blocks, self.shrink, strict=True):
            x = shrink(down(x, condition))
        mean, log_variance = self.encode(F.silu(x).flatten(1)).float().chunk(2, dim=1)  # (batch, latent)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        errors = (self.sample(mean + (log_variance / 2).exp() * noise, labels) - images).square().mean(dim=(1, 2, 3))
        likelihood = (errors / self.log_variance.exp() + self.log_variance + math.log(2 * math.pi)) / 2
        return likelihood + divergence / images[0].numel()  # (batch,)

    def sample(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of the images that belong to `latents`, (batch, latent)."""
        condition, x = self.label(labels), self.decode(latents).unflatten(1, self.inner)
        for up, size in zip(reversed(self.up_blocks), reversed(self.sizes[:-1]), strict=True):
            x = up(F.interpolate(x, size), condition)
        return self.leave(x).float()  # (batch, channels, height, width)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "flow_matching": partial(FlowMatching, velocity=UNet),
    "vae": VAE,
}
