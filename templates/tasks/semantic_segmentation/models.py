"""The models: images in, the logits of each class for each pixel out."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model, get_model_weights
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from .engine.errors import UserError


class ResidualBlock(nn.Module):
    """A residual block of two convolutions (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


class UNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) for any image size.

    The way down halves the resolution `depth` times and doubles the channels each time; the way up
    returns to the full resolution, and at each level also gets the features of the way down. Its
    blocks are residual ones, which learn faster (Zhang et al. 2018,
    https://arxiv.org/abs/1711.10684).
    """

    def __init__(self, *, channels: int, num_classes: int, width: int = 12, depth: int = 3):
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.stem = ResidualBlock(channels, width)
        self.down_blocks = nn.ModuleList(ResidualBlock(fine, 2 * fine) for fine in widths)
        self.up_blocks = nn.ModuleList(ResidualBlock(3 * fine, fine) for fine in reversed(widths))
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width)
        x = self.stem(images)
        skips = []
        for block in self.down_blocks:
            skips.append(x)
            x = F.max_pool2d(x, 2, ceil_mode=True)
            x = block(x)  # (batch, 2 * channels, height / 2, width / 2)
        for block in self.up_blocks:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[2:])  # to the height and width of the level above
            x = block(torch.cat((skip, x), dim=1))  # (batch, channels / 2, 2 * height, 2 * width)
        return self.head(x)  # (batch, num_classes, height, width)


class TorchvisionModel(nn.Module):
    """One of torchvision's segmentation models.

    `lraspp_mobilenet_v3_large` is LR-ASPP (Howard et al. 2019, https://arxiv.org/abs/1905.02244),
    the `deeplabv3_*` are DeepLabV3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587). The batch
    norm of DeepLabV3 needs two samples or more in training.
    """

    def __init__(self, name: str, *, channels: int, num_classes: int):
        super().__init__()
        self.colors = nn.Identity() if channels == 3 else nn.Conv2d(channels, 3, 1)
        self.model = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width)
        return self.model(self.colors(images))["out"]  # (batch, num_classes, height, width)


def load_pretrained(name: str, model: nn.Module) -> None:
    """Download torchvision's weights for COCO into a model, all that fit its number of classes.

    Raises UserError if they cannot be downloaded.
    """
    part = model.get_submodule("model")
    try:
        weights = get_model_weights(PRETRAINED[name]).DEFAULT.get_state_dict(check_hash=True)
    except OSError as error:
        raise UserError(f"--pretrained: cannot download the weights: {error}") from None
    own = part.state_dict()
    fitting = {}
    for key, tensor in weights.items():
        if key in own and own[key].shape == tensor.shape:
            fitting[key] = tensor
    part.load_state_dict(fitting, strict=False)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "lraspp": partial(TorchvisionModel, "lraspp_mobilenet_v3_large"),
    "deeplabv3": partial(TorchvisionModel, "deeplabv3_mobilenet_v3_large"),
    "deeplabv3_resnet50": partial(TorchvisionModel, "deeplabv3_resnet50"),
}
PRETRAINED = {
    "lraspp": "lraspp_mobilenet_v3_large",
    "deeplabv3": "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50": "deeplabv3_resnet50",
}
BLOCKS = (ResidualBlock, InvertedResidual, Bottleneck)  # that the models repeat
