"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class Exported(nn.Module):
    """Noise and classes in, images out."""

    inputs = ("noise", "labels")  # float32 (batch, channels, size, size), int64 (batch,)
    outputs = ("images",)  # float32 (batch, channels, size, size) from -1 to 1
    dynamic = (0,)  # dimensions of any size
    card = "text-to-image"  # the task's name on the Hugging Face Hub, which has none for classes

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model

    def forward(self, noise: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        return (F.hardtanh(self.model(noise, labels)[-1]),)

    def get_arguments(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the inputs in a batch of predict.py."""
        return batch

    def get_program(self) -> tuple[str, str, str]:
        """Return imports, statements that make the inputs, and those that use the outputs."""
        return IMPORTS, PREPARE, RESULT


IMPORTS = "from PIL import Image\n"
PREPARE = """\
labels = numpy.arange(len(info["classes"]))
shape = (len(labels), info["channels"], info["image_size"], info["image_size"])
noise = numpy.random.default_rng(0).standard_normal(shape, dtype=numpy.float32)
"""
RESULT = """\
pixels = numpy.uint8(((images + 1) * 127.5).round())
for name, image in zip(info["classes"], pixels):
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(f"{name or 'image'}.png")
print(len(pixels))
"""
