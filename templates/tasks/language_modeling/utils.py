# {% if false %}
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .datasets import DATASETS
from .engine.errors import UserError
from .engine.options import number
from .engine.runtime import Runtime
from .models import MODELS

if TYPE_CHECKING:
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


# {% endif %}
def add_task_options(parser: ArgumentParser) -> None:
    """Add the options of the model and the data."""
    add = parser.add_argument_group("task").add_argument
    add("--model", choices=MODELS, default="gpt", help="model to train")
    add("--dataset", choices=DATASETS, default="asyncio", help="data set to train on")
    help = "data of --dataset text: a text file, or a directory of text files or splits"
    add("--data-dir", type=Path, default="data", help=help)
    help = "what a token is: bytes, or bpe, parts of words that are learned from the training text"
    add("--tokenizer", choices=("bytes", "bpe"), default="bytes", help=help)
    help = "number of tokens in a window, the most that the model sees at once"
    add("--context", type=number(int, 2), default=64, help=help)
    help = "number of features of a token, a multiple of 32 (the size of an attention head)"
    add("--width", type=number(int, 32), default=64, help=help)
    help = "number of transformer blocks, or of LSTM layers"
    add("--layers", type=number(int, 1), default=2, help=help)
    help = "share of the features that are dropped in training (dropout)"
    add("--dropout", type=number(float, below=1), default=0.0, help=help)
    help = "cut the training windows at other positions in every epoch"
    add("--augment", action=BooleanOptionalAction, default=True, help=help)


def get_model_arguments(args: Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the model's constructor.

    Raises UserError if --width cannot be divided into attention heads.
    """
    if args.width % 32:
        raise UserError(
            f"--width {args.width} is not a multiple of 32, the size of an attention head"
        )
    return {
        "vocabulary_size": len(info["vocabulary"]),
        "width": args.width,
        "layers": args.layers,
        "dropout": args.dropout,
    }


def get_objective(args: Namespace, info: dict[str, Any]) -> Objective:
    """Return cross entropy of the next token in nats, a mean over all tokens."""

    def objective(model: nn.Module, batch: Any) -> dict[str, Any]:
        inputs, targets = batch  # (batch, context) each
        targets = targets.long()
        logits = model(inputs.long()).float()  # (batch, context, vocabulary)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        if model.training:
            return {"loss": loss}
        return {"loss": loss, "predictions": logits, "targets": targets}

    return objective


def get_metrics(args: Namespace, runtime: Runtime, info: dict[str, Any]) -> Metrics:
    """Return the metrics of an evaluation: perplexity per token, bits per character and byte."""
    from torchmetrics import MetricCollection
    from torchmetrics.text import Perplexity

    from .engine.metrics import BitsPerByte, BitsPerCharacter

    metrics = MetricCollection(
        {
            "perplexity": Perplexity(),
            "bits_per_character": BitsPerCharacter(info["vocabulary"]),
            "bits_per_byte": BitsPerByte(info["vocabulary"]),
        }
    )
    # For sums over very many tokens; an Apple GPU has no float64.
    dtype = torch.float32 if runtime.device.type == "mps" else torch.float64
    return metrics.set_dtype(dtype).to(runtime.device)
