"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn


class Exported(nn.Module):
    """Images in, logits of each pixel out."""

    inputs = ("images",)  # float32 (batch, channels, size, size), normalized; the padding is 0
    outputs = ("logits",)  # float32 (batch, classes, size, size)
    dynamic = (0,)  # dimensions of any size
    card = "image-segmentation"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.model(images),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return (batch["image"],)

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        return IMPORTS, PREPARE, RESULT


IMPORTS = "from PIL import Image, ImageOps\n"
PREPARE = """\
image = ImageOps.exif_transpose(Image.open("image.png")).convert("RGB")
size = info["image_size"]
width, height = (size * side // max(image.size) for side in image.size)
pixels = numpy.float32(image.resize((width, height), Image.Resampling.BILINEAR)) / 255
pixels = (pixels.transpose(2, 0, 1) - numpy.float32(info["mean"])) / numpy.float32(info["std"])
images = numpy.zeros((1, 3, size, size), dtype=numpy.float32)
images[0, :, :height, :width] = pixels
"""
RESULT = """\
mask = Image.fromarray(logits[0, :, :height, :width].argmax(axis=0).astype(numpy.uint8))
mask.resize(image.size, Image.Resampling.NEAREST).save("mask.png")
print([info["classes"][label] for _, label in sorted(mask.getcolors(), reverse=True)])
"""
