# {% set normalized = cookiecutter.task in ("image_classification", "semantic_segmentation") %}
"""Reading of image files, as they are to be seen."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
# {% if normalized %}
import torch
# {% endif %}
from PIL import Image, ImageOps, features

from .errors import UserError

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large photograph is welcome

SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
SUFFIXES |= {".tif", ".tiff", ".webp"}
if features.check("avif"):
    SUFFIXES.add(".avif")
# {% if normalized %}

IMAGENET = {  # what models that were trained on ImageNet expect
    "channels": 3,
    "mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
    "std": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
}
# {% endif %}


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file for a `with` block that decodes it.

    Raises UserError with the name of the file for all that Pillow raises: a damaged file is an
    OSError, SyntaxError, ValueError, struct.error, DecompressionBombError, ...
    """
    try:
        with Image.open(path) as file:
            yield file
    except UserError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot read the image {path}: {reason}") from None


def read_image(path: Path, size: int = 0) -> Image.Image:
    """Return an image in RGB as it is to be seen.

    It is turned as its EXIF data say, values of 16 bits are scaled to 8, and what is transparent is
    laid on white. Raises UserError if it cannot be read, or holds numbers without a known range.

    If only about `size` pixels of a side are needed, a larger JPEG is decoded at a half, a quarter
    or an eighth of its size, which is much faster; each side keeps at least 2 * `size` pixels.
    """
    with open_image(path) as image:
        if size:
            image.draft(None, (2 * size, 2 * size))
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
            pixels = numpy.asarray(image) / 257  # 65,535 becomes 255
            image = Image.fromarray(pixels.round().clip(0, 255).astype(numpy.uint8))
        if image.mode in ("I", "F"):
            kind = "integers" if image.mode == "I" else "floating-point numbers"
            raise UserError(f"{path} has {kind} of 32 bits, whose range is unknown: save it with 8")
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return image.convert("RGB")
# {% if cookiecutter.task in cookiecutter._uses.paired_folders %}


def find_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image as `read_image` returns it, mostly from its header.

    Raises UserError if it cannot be read.
    """
    with open_image(path) as file:
        if file.format == "PNG" and "exif" not in file.info:
            return file.size  # to look further for EXIF data would decode it
        if file.getexif().get(0x0112, 1) < 5:  # the orientation: from 5 on a quarter turn
            return file.size
        if file.format == "TIFF":  # Pillow itself turns it
            file.load()
            return file.size
        return file.size[1], file.size[0]
# {% endif %}
