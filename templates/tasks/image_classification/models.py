"""The models: images in, one logit for each class out."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torchvision import ops
from torchvision.models import VisionTransformer, get_model, get_model_weights
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vision_transformer import EncoderBlock

from .engine.errors import UserError


class ResidualBlock(nn.Module):
    """A residual block of two convolutions (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

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
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()


class SmallCNN(nn.Module):
    """A residual network for small images; those over 16 pixels are halved at once to save work."""

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
    """Two hidden layers over the pixels, without batch norm: the simplest and fastest model."""

    def __init__(self, *, channels: int, image_size: int, num_classes: int, width: int = 256):
        super().__init__()
        self.layers = ops.MLP(channels * image_size**2, [width, width, num_classes])

    def forward(self, images: Tensor) -> Tensor:  # (batch, channels, height, width)
        return self.layers(images.flatten(1))  # (batch, num_classes)


def resnet(
    name: str, *, channels: int, image_size: int, num_classes: int, imagenet: bool = False
) -> nn.Module:
    """Return one of torchvision's ResNets (He et al. 2016, https://arxiv.org/abs/1512.03385).

    Unless it is the one of ImageNet, images of up to 64 pixels get a first layer that keeps their
    size, as is usual for CIFAR.
    """
    model = get_model(name, weights=None)
    if image_size <= 64 and not imagenet:
        model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    model.fc = nn.Linear(model.fc.in_features, num_classes)
    return model


def vit(*, channels: int, image_size: int, num_classes: int, imagenet: bool = False) -> nn.Module:
    """Return torchvision's ViT (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929).

    It is a small one that divides an image into 8 x 8 patches, or the ViT-B/16 of ImageNet, for
    which images are resized to 224 pixels.
    """
    if imagenet:
        model = get_model("vit_b_16", weights=None)
        model.heads = nn.Linear(model.hidden_dim, num_classes)
        return nn.Sequential(nn.Upsample(224, mode="bilinear"), model)
    patch = image_size // 8
    model = VisionTransformer(
        image_size=8 * patch,
        patch_size=patch,
        num_layers=6,
        num_heads=4,
        hidden_dim=128,
        mlp_dim=256,
        num_classes=num_classes,
    )
    model.conv_proj = nn.Conv2d(channels, 128, patch, patch)
    return nn.Sequential(nn.Upsample(8 * patch, mode="bilinear"), model)


def load_pretrained(name: str, model: nn.Module) -> None:
    """Download torchvision's ImageNet weights into a model, but for its last layer.

    Raises UserError if they cannot be downloaded.
    """
    part = model[1] if isinstance(model, nn.Sequential) else model  # after the resizing
    try:
        weights = get_model_weights(PRETRAINED[name]).DEFAULT.get_state_dict(progress=True)
    except OSError as error:
        raise UserError(f"--pretrained: cannot download the weights: {error}") from None
    own = part.state_dict()
    fitting = {}
    for key, tensor in weights.items():
        if key in own and own[key].shape == tensor.shape:
            fitting[key] = tensor
    part.load_state_dict(fitting, strict=False)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "cnn": SmallCNN,
    "resnet18": partial(resnet, "resnet18"),
    "resnet50": partial(resnet, "resnet50"),
    "vit": vit,
    "mlp": MLP,
}
PRETRAINED = {"resnet18": "resnet18", "resnet50": "resnet50", "vit": "vit_b_16"}
BLOCKS = (ResidualBlock, BasicBlock, Bottleneck, EncoderBlock)  # that the models repeat
