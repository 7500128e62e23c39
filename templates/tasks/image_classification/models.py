"""The architectures that --model chooses from: images in, one logit for each class out.

FSDP divides a model block by block, where the project uses it: by its lists that are named for blocks or layers.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision import ops
from torchvision.models import VisionTransformer, get_model


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


class SmallCNN(nn.Module):
    """A residual network for small images; those over 16 pixels are halved at once, where most of the work would be."""

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int = 16):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2 if image_size > 16 else 1, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            ResidualBlock(width, width, stride=1),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 4 * width, stride=2),
        )
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width)
        features = self.layers(images).mean(dim=(2, 3))  # (batch, 4 * width)
        return self.head(features)  # (batch, num_classes)


class MLP(nn.Module):
    """Two hidden layers over the pixels, without batch norm: the simplest model, and one that trains very fast."""

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int = 256):
        super().__init__()
        self.layers = ops.MLP(channels * image_size**2, [width, width, num_classes])

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width)
        return self.layers(images.flatten(1))  # (batch, num_classes)


def resnet(name: str) -> Callable[..., nn.Module]:
    """Return the constructor of one of torchvision's ResNets (He et al. 2016, https://arxiv.org/abs/1512.03385).

    Images of up to 64 pixels get a first layer that does not shrink them, as is usual on CIFAR.
    """

    def constructor(*, channels: int, image_size: int, num_classes: int, pretrained: bool = False) -> nn.Module:
        model = get_model(name, weights="DEFAULT" if pretrained else None)
        if image_size <= 64 and not pretrained:
            model.conv1, model.maxpool = nn.Conv2d(channels, 64, 3, padding=1, bias=False), nn.Identity()
        model.fc = nn.Linear(model.fc.in_features, num_classes)
        return model

    return constructor


def vit(*, channels: int, image_size: int, num_classes: int, pretrained: bool = False) -> nn.Module:
    """Return torchvision's vision transformer (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

    It is a small one with 8 x 8 patches, or the pretrained ViT-B/16, for which images are brought to 224 pixels.
    """
    if pretrained:
        model = get_model("vit_b_16", weights="DEFAULT")
        model.heads = nn.Linear(model.hidden_dim, num_classes)
        return nn.Sequential(nn.Upsample(224, mode="bilinear"), model)
    patch = image_size // 8
    options = {"num_layers": 6, "num_heads": 4, "hidden_dim": 128, "mlp_dim": 256}
    model = VisionTransformer(image_size=8 * patch, patch_size=patch, num_classes=num_classes, **options)
    model.conv_proj = nn.Conv2d(channels, 128, patch, patch)
    return model if image_size == 8 * patch else nn.Sequential(nn.Upsample(8 * patch, mode="bilinear"), model)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "cnn": SmallCNN,
    "resnet18": resnet("resnet18"),
    "resnet50": resnet("resnet50"),
    "vit": vit,
    "mlp": MLP,
}
