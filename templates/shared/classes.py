"""Classes of a classification: the number of their samples, and their weights in the loss."""

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

from .errors import UserError


def count_classes(labels: Tensor, classes: list[str]) -> dict[str, int]:
    """Return the number of samples of each class; `labels` (samples,) count from 0."""
    counts = labels.bincount(minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def get_class_weights(args: Namespace, info: dict[str, Any]) -> Tensor | None:
    """Return the weight of each class in the loss, (classes,), as --class-weights says.

    If balanced, they are inverse to the numbers of training samples: all classes have the same sum
    of weights, and the mean weight of the samples is 1. Raises UserError if the data set does not
    count its classes, or a class has no sample.
    """
    if args.class_weights == "none":
        return None
    counts = info.get("class_counts", {}).get("train", {})
    if list(counts) != info["classes"]:
        raise UserError("--class-weights balanced needs info['class_counts'], which is not there")
    for name, count in counts.items():
        if count == 0:
            raise UserError(f"--class-weights balanced: there is no training sample of {name!r}")
    numbers = torch.tensor(list(counts.values()), dtype=torch.float32)
    return numbers.sum() / (len(numbers) * numbers)
