"""The models, which learn to make images like those that they are trained on.

Each is called in two ways:

- `model(noise, labels, images, times)` returns the loss of each image, and its components if there
  are any: a dictionary of tensors (batch,);
- `model(noise, labels)` returns new images of the classes `labels`, one for each row of `noise`, at
  all stages of their making, the finished ones last: (stages, batch, channels, height, width).

Images have values from -1 to 1, `noise` is standard normal and has the shape of the images, and
`times` are uniform from 0 to 1.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def image_sizes(image_size: int) -> list[int]:
    """Return the sizes of an image that is halved until it has at most 4 x 4 pixels."""
    sizes = [image_size]
    while sizes[-1] > 4:
        sizes.append(math.ceil(sizes[-1] / 2))
    return sizes


def level_widths(image_size: int, width: int) -> list[int]:
    """Return the channels of the hidden layers for each of these sizes."""
    return [min(2**level, 4) * width for level in range(len(image_sizes(image_size)))]


class Block(nn.Module):
    """Two convolutions with a residual connection, and a condition.

    The condition scales and shifts the values between them (FiLM, Perez et al. 2018,
    https://arxiv.org/abs/1709.07871).
    """

    def __init__(self, in_channels: int, out_channels: int, condition: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.film = nn.Linear(condition, 2 * out_channels)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        nn.init.zeros_(self.conv2.weight)  # at first a block is its shortcut

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # (batch, channels, height, width), (batch, condition)
        film = self.film(F.silu(condition))[:, :, None, None]
        scale, shift = film.chunk(2, dim=1)
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x))))
        hidden = hidden * (1 + scale) + shift
        return self.shortcut(x) + self.conv2(F.silu(hidden))


def output_layer(width: int, channels: int) -> nn.Module:
    """Return the layer from hidden values to an image."""
    return nn.Sequential(
        nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1)
    )


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597), given time and class.

    `width` is the number of channels at full resolution, a multiple of 8.
    """

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int):
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer(
            "frequencies", torch.logspace(0, 3, width // 2)
        )  # rad per unit of time
        condition = 4 * width
        self.time = nn.Sequential(
            nn.Linear(2 * (width // 2), condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.label = nn.Embedding(num_classes, condition)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        widths = level_widths(image_size, width)
        pairs = list(pairwise(widths))  # (finer, coarser)
        self.down_blocks = nn.ModuleList(Block(fine, fine, condition) for fine, _ in pairs)
        self.shrink = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs
        )
        self.middle = Block(widths[-1], widths[-1], condition)
        self.up_blocks = nn.ModuleList(
            Block(coarse + fine, fine, condition) for fine, coarse in pairs
        )
        self.leave = output_layer(width, channels)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        # (batch, channels, height, width), (batch,), (batch,)
        angles = times[:, None] * self.frequencies
        time = self.time(torch.cat((angles.cos(), angles.sin()), dim=1))
        condition = time + self.label(labels)
        x = self.enter(x)
        skips = []
        for down, shrink in zip(self.down_blocks, self.shrink, strict=True):
            x = down(x, condition)
            skips.append(x)
            x = shrink(x)
        x = self.middle(x, condition)
        for up in reversed(self.up_blocks):
            skip = skips.pop()
            x = torch.cat((F.interpolate(x, skip.shape[2:]), skip), dim=1)
            x = up(x, condition)
        return self.leave(x)  # like x


class FlowMatching(nn.Module):
    """Flow matching along straight paths from noise to image (Lipman et al. 2023).

    A network learns the velocity on the way, which is followed in `steps` steps of the midpoint
    method. Source: https://arxiv.org/abs/2210.02747.
    """

    def __init__(self, *, velocity: Callable[..., nn.Module], steps: int, **shape: int):
        super().__init__()
        self.velocity = velocity(**shape)
        self.steps = steps

    def forward(
        self,
        noise: Tensor,
        labels: Tensor,
        images: Tensor | None = None,
        times: Tensor | None = None,
    ) -> dict[str, Tensor] | Tensor:
        if images is None or times is None:
            return self.sample(noise, labels)
        time = times[:, None, None, None]
        velocities = self.velocity((1 - time) * noise + time * images, times, labels)
        errors = (velocities - (images - noise)).square()
        return {"loss": errors.mean(dim=(1, 2, 3))}

    def sample(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return what becomes of `noise` after each step."""
        x = noise
        stages = [x]
        for time in torch.arange(self.steps, device=noise.device) / self.steps:
            times = time.expand(x.shape[0])
            middle = x + self.velocity(x, times, labels) / (2 * self.steps)
            x = x + self.velocity(middle, times + 1 / (2 * self.steps), labels) / self.steps
            stages.append(x)
        return torch.stack(stages)  # (steps + 1, batch, channels, height, width)


class VAE(nn.Module):
    """Variational autoencoder, given the class (Kingma & Welling 2014).

    The loss is the negative evidence lower bound in nats for each value of an image, with a learned
    variance of the values (Rybkin et al. 2021, https://arxiv.org/abs/2006.13202). It needs no
    times. Source: https://arxiv.org/abs/1312.6114.
    """

    def __init__(
        self, *, channels: int, image_size: int, num_classes: int, width: int, latent: int = 32
    ):
        super().__init__()
        self.sizes = image_sizes(image_size)
        self.latent = min(latent, channels * image_size**2)
        widths = level_widths(image_size, width)
        pairs = list(pairwise(widths))  # (finer, coarser)
        self.inner = (widths[-1], self.sizes[-1], self.sizes[-1])
        condition = 4 * width
        self.label = nn.Embedding(num_classes, condition)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down_blocks = nn.ModuleList(Block(fine, fine, condition) for fine, _ in pairs)
        self.shrink = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs
        )
        self.encode = nn.Linear(math.prod(self.inner), 2 * self.latent)
        self.decode = nn.Linear(self.latent, math.prod(self.inner))
        self.up_blocks = nn.ModuleList(Block(coarse, fine, condition) for fine, coarse in pairs)
        self.leave = output_layer(width, channels)
        self.log_variance = nn.Parameter(torch.tensor([-3.0]))

    def forward(
        self,
        noise: Tensor,
        labels: Tensor,
        images: Tensor | None = None,
        times: Tensor | None = None,
    ) -> dict[str, Tensor] | Tensor:
        noise = noise.flatten(1)[:, : self.latent]  # one for each dimension of the latent space
        if images is None:
            return self.sample(noise, labels).unsqueeze(0)  # (1, batch, channels, height, width)
        mean, log_variance = self.encode_images(images, labels)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        divergence = divergence / images[0].numel()
        decoded = self.sample(mean + (log_variance / 2).exp() * noise, labels)
        errors = (decoded - images).square().mean(dim=(1, 2, 3))
        scaled = errors / self.log_variance.exp()
        reconstruction = (scaled + self.log_variance + math.log(2 * math.pi)) / 2
        return {
            "loss": reconstruction + divergence,
            "reconstruction": reconstruction,
            "kl_divergence": divergence,
        }

    def encode_images(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithmic variance of the latents of images, (batch, latent) each."""
        condition = self.label(labels)
        x = self.enter(images)
        for down, shrink in zip(self.down_blocks, self.shrink, strict=True):
            x = shrink(down(x, condition))
        mean, log_variance = self.encode(F.silu(x).flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance

    def sample(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of the images that belong to `latents`, (batch, latent)."""
        condition = self.label(labels)
        x = self.decode(latents).unflatten(1, self.inner)
        for up, size in zip(reversed(self.up_blocks), reversed(self.sizes[:-1]), strict=True):
            x = up(F.interpolate(x, size), condition)
        return self.leave(x).float()  # (batch, channels, height, width)


class RandomFeatures(nn.Module):
    """Features of images from a network with fixed random weights, for the Fréchet distance.

    It needs no download, and yet tells good samples from bad (Naeem et al. 2020,
    https://arxiv.org/abs/2002.09797). `mean` and `std`, (64,), standardize the features.
    """

    def __init__(
        self,
        *,
        channels: int,
        image_size: int,
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential()
        for level in range(1 + math.ceil(math.log2(image_size / 4))):
            conv = nn.Conv2d(64, 64, 3, stride=2, padding=1)
            if level == 0:
                conv = nn.Conv2d(channels, 64, 3, padding=1)
            weight, bias = conv.parameters()
            nn.init.orthogonal_(weight, math.sqrt(2), generator)
            nn.init.normal_(bias, 0, 0.5, generator)
            self.layers.extend([conv, nn.SiLU()])
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(64) if mean is None else mean)
        self.register_buffer("std", torch.ones(64) if std is None else std)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width) from -1 to 1
        features = self.layers(images).mean(dim=(2, 3))  # (batch, 64)
        return (features - self.mean) / self.std.clamp(min=1e-4)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "flow_matching": partial(FlowMatching, velocity=UNet),
    "vae": VAE,
}
BLOCKS = (Block,)  # that the models repeat
