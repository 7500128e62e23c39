"""New images of a trained model, of all classes or of those that are named."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import to_pil_image
from tqdm import tqdm

from .engine.errors import UserError
from .engine.options import number
from .engine.prediction import find_output, writing
from .engine.runtime import Runtime
from .plots import draw_rows

SHEET = "sheet.png"
COLUMNS = 10  # images of a class in the sheet
SHEET_ROWS = 50  # classes in the sheet
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.+$|[. ]+$')  # in the name of a folder


def add_prediction_options(parser: ArgumentParser) -> None:
    """Add what is to be made."""
    parser.usage = "%(prog)s [options] RUN [CLASS...]"
    add = parser.add_argument
    help = "class by its name; by default all classes"
    add("classes", nargs="*", metavar="CLASS", help=help)
    add("--number", type=number(int, 1), default=COLUMNS, help="number of images of each class")
    help = "seed of the noise that images are made of"
    add("--seed", type=number(int, below=2**63), help=help)


class Inputs:
    """Noise and classes: `for indices, batch in inputs` gives batches of them.

    The noise of an image depends on --seed, its class and its number alone. `failed` is always 0:
    there is nothing to read.
    """

    failed = 0

    def __init__(self, args: Namespace, runtime: Runtime, info: dict[str, Any]):
        self.args = args
        self.runtime = runtime
        self.info = info
        names = info["classes"]
        self.classes = list(range(len(names)))
        if args.classes:
            unknown = [name for name in args.classes if name not in names]
            if unknown:
                raise UserError(f"the model has no class {unknown[0]!r}: {', '.join(names)}")
            self.classes = [names.index(name) for name in dict.fromkeys(args.classes)]

    def __len__(self) -> int:
        return len(self.classes) * self.args.number

    def make_noise(self, index: int) -> Tensor:
        """Return the noise of an image, (channels, size, size)."""
        place, image = divmod(index, self.args.number)
        seed = (self.args.seed * 1_000_003 + self.classes[place]) * 1_000_003 + image
        generator = torch.Generator().manual_seed(seed % 2**63)
        size = self.info["image_size"]
        return torch.randn(self.info["channels"], size, size, generator=generator)

    def __iter__(self) -> Iterator[tuple[list[int], tuple[Tensor, Tensor]]]:
        with tqdm(total=len(self), unit="image", leave=False, disable=None) as bar:
            for part in torch.arange(len(self)).split(self.args.batch_size):
                indices = part.tolist()
                noise = torch.stack([self.make_noise(index) for index in indices])
                labels = torch.tensor(self.classes)[part // self.args.number]
                device = self.runtime.device
                yield indices, (noise.to(device), labels.to(device))
                bar.update(len(indices))


@torch.inference_mode()
def predict(args: Namespace, runtime: Runtime, model: nn.Module, batch: Any) -> Tensor:
    """Return the images that become of noise, from -1 to 1: (batch, channels, size, size)."""
    noise, labels = batch  # (batch, channels, size, size), (batch,)
    with runtime.autocast():
        images = model(noise, labels)[-1]
    return F.hardtanh(images.float())


def is_foreign_folder(folder: Path) -> bool:
    """Return whether a folder holds files, and not those of an earlier prediction."""
    return folder.is_dir() and any(folder.iterdir()) and not (folder / SHEET).exists()


class Output:
    """A folder with CLASS/0001.png and so on, and sheet.png with some images of each class."""

    def __init__(self, args: Namespace, runtime: Runtime, inputs: Inputs):
        self.number = args.number
        self.inputs = inputs
        self.folder = find_output(args, "predictions")
        if args.output is not None and is_foreign_folder(args.output):
            raise UserError(f"--output {args.output} holds other files: name a new folder")
        self.names = [inputs.info["classes"][label] for label in inputs.classes]
        folders = name_folders(inputs.info["classes"])
        self.folders = [self.folder / folders[label] for label in inputs.classes]
        self.shown: list[Tensor] = []

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: Any, _error: Any, _traceback: Any) -> None:
        if kind is None:
            self.draw_sheet()

    def add(self, indices: list[int], images: Tensor) -> None:
        """Write the images of a batch; `indices` are theirs among all images."""
        pixels = ((images + 1) * 127.5).round().byte().cpu()
        for index, image in zip(indices, pixels, strict=True):
            place, position = divmod(index, self.number)
            path = self.folders[place] / f"{position + 1:04d}.png"
            with writing(path) as temporary:
                to_pil_image(image).save(temporary, format="PNG")
            if position < COLUMNS and place < SHEET_ROWS:
                self.shown.append(image)

    def draw_sheet(self) -> None:
        """Write the first images of each class as one image."""
        names = self.names[:SHEET_ROWS]
        images = torch.stack(self.shown).unflatten(0, (len(names), -1)) / 255
        figure = draw_rows([images], ["new images"], names, title="")
        with writing(self.folder / SHEET) as temporary:
            figure.savefig(temporary, dpi=150, format="png")

    def summary(self) -> str:
        """Return what was written."""
        sheet = self.folder / SHEET
        return f"{len(self.inputs):,} images: {self.folder}, the first ones: {sheet}"


def name_folders(classes: list[str]) -> list[str]:
    """Return a folder for each class: its name, without what no folder's name may have."""
    folders = [FORBIDDEN.sub("_", name) for name in classes]
    if len({name.lower() for name in folders}) == len(folders):
        return folders
    return [f"{place}_{name}" for place, name in enumerate(folders)]
