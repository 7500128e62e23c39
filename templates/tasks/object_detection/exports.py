"""The exported model as a function of tensors, and how to use it without this project."""

from typing import Any

from torch import Tensor, nn

from .models import CenterNet, best_boxes
from .utils import stack_detections


class Exported(nn.Module):
    """Images in, the best 100 boxes of each out, with their scores and classes."""

    inputs = ("images",)  # float32 (batch, 3, size, size) from 0 to 1; the padding is 0
    outputs = ("boxes", "scores", "labels")  # (batch, 100, 4) in pixels, (batch, 100) twice
    dynamic = (0,)  # dimensions of any size
    card = "object-detection"  # the task's name on the Hugging Face Hub

    def __init__(self, model: nn.Module, info: dict[str, Any]):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.model, CenterNet):
            boxes, scores, labels = best_boxes(*self.model.find_centers(images))
            found = scores > 0  # cells without a peak fill up, in any order
            return boxes * found[..., None], scores, labels * found
        rows = stack_detections(self.model(images)[1])  # of torchvision: as many as there are
        return rows[..., :4], rows[..., 4], rows[..., 5].long()

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
images = numpy.zeros((1, 3, size, size), dtype=numpy.float32)
images[0, :, :height, :width] = pixels.transpose(2, 0, 1)
"""
RESULT = """\
for box, score, label in zip(boxes[0] * image.width / width, scores[0], labels[0]):
    print(info["classes"][label], round(float(score), 3), box.round(1).tolist())
"""
