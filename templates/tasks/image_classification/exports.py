"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """Images in, logits out."""

    inputs = ("images",)  # float32 (batch, channels, size, size), normalized
    outputs = ("logits",)  # float32 (batch, classes)
    dynamic = (0,)  # dimensions of any size
    card = "image-classification"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.model(images),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return (batch,)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        return IMPORTS, PREPARE, RESULT


IMPORTS = "from PIL import Image, ImageOps\n"
PREPARE = """\
image = ImageOps.exif_transpose(Image.open("image.png"))
image = image.convert("RGB" if info["channels"] == 3 else "L")
size, resize = info["image_size"], info.get("resize", info["image_size"])
width, height = (resize * side // min(image.size) for side in image.size)
image = image.resize((width, height), Image.Resampling.BILINEAR)
left, top = round((width - size) / 2), round((height - size) / 2)
pixels = numpy.float32(image.crop((left, top, left + size, top + size))) / 255
pixels = pixels.reshape(size, size, info["channels"]).transpose(2, 0, 1)
images = (pixels - numpy.float32(info["mean"])) / numpy.float32(info["std"])
images = images[numpy.newaxis]
"""
RESULT = 'print(info["classes"][logits.argmax()])\n'
