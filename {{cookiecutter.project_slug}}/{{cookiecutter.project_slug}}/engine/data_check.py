# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""Check of all samples before a training: `python main.py --check-data`."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
# {% if cookiecutter.task in cookiecutter._uses.masks %}
from torchvision.utils import draw_segmentation_masks
# {% elif cookiecutter.task in cookiecutter._uses.boxes %}
from torchvision.utils import draw_bounding_boxes
# {% endif %}
from tqdm import tqdm

from .batch import find_tensors
from .errors import UserError
# {% if cookiecutter.task in cookiecutter._uses.images %}
from .files import replacing
# {% endif %}
from .identity import get_keys
from .loader import InMemory, restored_generators, seed_generators
# {% if cookiecutter.task in cookiecutter._uses.masks %}
from .report import new_figure
# {% elif cookiecutter.task in cookiecutter._uses.images %}
from .report import new_figure, plain
# {% endif %}
from .terminal import say

MOST_PRINTED = 10  # of problems, and of duplicates, that are printed
AT_ONCE = 4096  # samples in memory that are looked at together

Content = tuple[str, str, Counter[int]]  # what names a sample's content, its problem, its labels


def check_data(args: Namespace, *loaders: Any) -> None:
    """Read each sample once; print sizes, classes, samples that are in two splits, and problems.

    Raises UserError if a sample cannot be read, has a number that is not finite, or another shape
    than the first one of its split.
    """
    # {% if cookiecutter.distributed != "none" %}
    if loaders[0].runtime.processes.rank != 0:
        return
    # {% endif %}
    for note in loaders[0].info.get("notes", []):
        say(f"{'note':<12}{note}")
    check = Check()
    for loader in loaders:
        say(f"{loader.split:<12}{check.add(args, loader)}")
    print_some("in two splits", check.copies)
    print_some("problem", check.problems)
    if check.problems:
        raise UserError(
            f"{len(check.problems):,} samples cannot be used: mend them, or take them away"
        )
    # {% if cookiecutter.task in cookiecutter._uses.images %}
    path = Path("runs", f"{args.dataset}-samples.png")
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        figure = draw_samples(next(iter(loaders[0])), loaders[0].info)
        figure.savefig(temporary, dpi=150, format="png")
    say(f"{'samples':<12}{path}, as they are trained on")
    # {% endif %}


class Check:
    """What is found in the splits so far."""

    def __init__(self):
        self.problems: list[str] = []
        self.copies: list[str] = []  # samples that are in two splits
        self.names: dict[str, str] = {}  # of the first sample with each content
        self.keys: dict[str, Tensor] = {}  # of the samples of each split

    def add(self, args: Namespace, loader: Any) -> str:
        """Read the samples of a split; return what they are in short."""
        if loader.samples is None:
            return "a stream, which is not read"
        keys = get_keys(loader.dataset)
        if keys is not None:
            for split, others in self.keys.items():
                if keys.equal(others):  # validation is tested if there is no test split
                    return f"the samples of {split}"
            self.keys[loader.split] = keys
        names = getattr(loader.dataset, "names", range(len(loader.dataset)))
        labels: Counter[int] = Counter()
        own: dict[str, str] = {}
        for index, (content, problem, found) in enumerate(read_samples(args, loader)):
            name = f"{loader.split} sample {names[index]}"
            labels.update(found)
            if problem:
                self.problems.append(f"{name}: {problem}")
            if content in self.names:
                self.copies.append(f"{name} is {self.names[content]}, too")
            elif content:
                own[content] = name
        self.names |= own
        return f"{len(loader.dataset):,} samples{describe_shares(labels, loader.info)}"


def read_samples(args: Namespace, loader: Any) -> Iterator[Content]:
    """Yield what is found in each sample of a split, in order."""
    dataset = loader.dataset
    if isinstance(dataset, InMemory) and isinstance(dataset.tensors[0], Tensor):
        yield from look_at_tensors(dataset)
        return
    reader = DataLoader(
        Probe(dataset, args.data_dir),
        batch_size=16,
        collate_fn=list,
        # {% if own.workers %}
        num_workers=args.workers,
        # {% endif %}
    )
    first_shape = ""
    with tqdm(desc=loader.split, total=len(dataset), leave=False, disable=None) as bar:
        for findings in reader:
            bar.update(len(findings))
            for content, problem, labels, shape in findings:
                first_shape = first_shape or shape
                if shape != first_shape and not problem and not hasattr(dataset, "collate_fn"):
                    problem = f"its shape is {shape}, and that of others {first_shape}"
                yield content, problem, labels


def look_at_tensors(dataset: InMemory) -> Iterator[Content]:
    """Yield what is found in each sample of data in memory."""
    for start in range(0, len(dataset), AT_ONCE):
        chosen: Any = slice(start, start + AT_ONCE)
        if dataset.indices is not None:
            chosen = dataset.indices[chosen]
        rows = [tensor[chosen] for tensor in dataset.tensors]
        finite = torch.ones(len(rows[0]), dtype=torch.bool)
        for tensor in rows:
            finite &= tensor.isfinite().unsqueeze(1).flatten(1).all(dim=1)
        keys = [""] * len(finite)
        if dataset.keys is not None:
            keys = [str(key) for key in dataset.keys[start : start + AT_ONCE].tolist()]
        labels = count_labels(rows)
        for key, is_finite in zip(keys, finite.tolist(), strict=True):
            yield key, "" if is_finite else "a number is not finite", labels
            labels = Counter()  # were those of all rows


class Probe(Dataset):
    """What is found in each sample of a data set that reads them: a finding and its shapes."""

    def __init__(self, dataset: Any, data_dir: Path):
        self.dataset = dataset
        self.data_dir = data_dir

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[str, str, Counter[int], str]:
        collate = getattr(self.dataset, "collate_fn", default_collate)
        try:
            with restored_generators():
                seed_generators(index)
                tensors = list(find_tensors(collate([self.dataset[index]])))
        except UserError as error:
            return "", str(error), Counter(), ""
        finite = all(bool(tensor.isfinite().all()) for tensor in tensors)
        problem = "" if finite else "a number is not finite"
        shape = ", ".join(str(tuple(tensor.shape[1:])) for tensor in tensors)
        return self.hash_file(index), problem, count_labels(tensors), shape

    def hash_file(self, index: int) -> str:
        """Return the hash of a sample's file; an empty string if it has none."""
        names = getattr(self.dataset, "names", None)
        path = self.data_dir / names[index] if names else None
        if path is None or not path.is_file():
            return ""
        return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def count_labels(tensors: list[Tensor]) -> Counter[int]:
    """Return how often each number is in the last tensor of integers, the labels if any are."""
    for tensor in reversed(tensors):
        if tensor.dtype == torch.int64:
            values, counts = tensor.unique(return_counts=True)
            return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return Counter()


def describe_shares(labels: Counter[int], info: dict[str, Any]) -> str:
    """Return the share of each class for a message; nothing if the data have no classes."""
    classes = info.get("classes", [])
    counts = {name: labels[number] for number, name in enumerate(classes) if labels[number]}
    total = sum(counts.values())
    largest = sorted(counts, key=counts.__getitem__, reverse=True)
    shares = [f"{name} {counts[name] / total:.1%}" for name in largest[:MOST_PRINTED]]
    if len(largest) > MOST_PRINTED:
        shares.append(f"... {len(largest):,} classes")
    absent = [name for name in classes if name not in counts]
    if shares and absent:
        shares.append(f"none of {', '.join(absent[:MOST_PRINTED])}")
    return f": {', '.join(shares)}" if shares else ""


def print_some(title: str, lines: list[str]) -> None:
    """Print the first of some lines, with their number."""
    for line in lines[:MOST_PRINTED]:
        say(f"{title:<15}{line}")
    if len(lines) > MOST_PRINTED:
        say(f"{title:<15}... {len(lines):,} in all")
# {% if cookiecutter.task in cookiecutter._uses.images %}


def draw_samples(batch: Any, info: dict[str, Any]) -> Any:
    # {% if cookiecutter.task in cookiecutter._uses.masks %}
    """Draw up to 24 images of a training batch under their masks."""
    images, masks = batch
    # {% elif cookiecutter.task in cookiecutter._uses.boxes %}
    """Draw up to 24 images of a training batch with their boxes."""
    images, boxes, labels = batch
    # {% else %}
    """Draw up to 24 images of a training batch with their classes."""
    images, labels = batch[:2]
    # {% endif %}
    if images.is_floating_point():
        images = images.cpu() * info.get("std", 1) + info.get("mean", 0)
        images = (255 * images.clamp(0, 1)).round().byte()
    figure, grid = new_figure(4, 6, size=(9, 6.4), xticks=[], yticks=[])
    for index, axes in enumerate(grid.flat):
        if index >= len(images):
            axes.set_visible(False)
            continue
        image = images[index].cpu()
        # {% if cookiecutter.task in cookiecutter._uses.masks %}
        classes = torch.arange(len(info["classes"])).view(-1, 1, 1)
        image = draw_segmentation_masks(image, masks[index].cpu() == classes, alpha=0.4)
        # {% elif cookiecutter.task in cookiecutter._uses.boxes %}
        known = labels[index] >= 0  # others fill up
        names = [info["classes"][label] for label in labels[index, known].tolist()]
        axes.set_title(plain(", ".join(names), 26), fontsize=7)
        if names:
            image = draw_bounding_boxes(image, boxes[index, known], colors="red")
        # {% else %}
        axes.set_title(plain(info["classes"][int(labels[index])], 20), fontsize=8)
        # {% endif %}
        axes.imshow(image.movedim(0, -1).numpy(), cmap="gray")
    return figure
# {% endif %}
