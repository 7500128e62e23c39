"""The options, the getters that turn them into the parts of a run, and the two loops."""

import argparse
import math
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torchmetrics import MetricCollection

from checkpoint import Checkpoint, claim_run_folder
from datasets import DATASETS
from doctor import Doctor
from loader import Loader
from models import MODELS
from options import Parser, number, parse_with_saved_options
from pictures import draw_pictures
from runtime import Runtime, UserError
from tracking import Logger
# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}


def parse_arguments(argv: list[str] | None = None) -> Namespace:
    """Parse the command line; `python main.py --help` shows every option with its default."""
    parser = Parser(
        "main.py", "%(prog)s [options]", allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    switch = argparse.BooleanOptionalAction

    task = parser.add_argument_group("task")
    task.add_argument("--model", choices=MODELS, default="{{own.model}}", help="architecture to train")
    task.add_argument("--dataset", choices=DATASETS, default="{{own.dataset}}", help="data to train on")
    task.add_argument("--data-dir", type=Path, default="data", help="folder of data sets that are not built in")
    # {% filter indent(4, true) %}
    # {% include "tasks/" ~ cookiecutter.task ~ "/arguments.py" %}
    # {% endfilter %}

    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=number(int, 1), default={{own.epochs}}, help="passes over the data")
    training.add_argument("--batch-size", type=number(int, 1), default={{own.batch_size}}, help="over all processes")
    training.add_argument("--accumulation", type=number(int, 1), default=1, help="parts that a batch is divided into")
    training.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw", help="sgd has a momentum of 0.9")
    training.add_argument("--lr", type=number(float), default={{own.lr}}, help="peak learning rate")
    training.add_argument("--weight-decay", type=number(float), default={{own.weight_decay}}, help="on weight tensors")
    training.add_argument("--schedule", choices=("cosine", "linear", "constant"), default="cosine", help="after warmup")
    training.add_argument("--warmup", type=number(float, below=1), default={{own.warmup}}, help="share of all steps")
    training.add_argument("--clip", type=number(float), default={{own.clip}}, help="maximum gradient norm, 0: off")
    training.add_argument("--ema", type=number(float, below=1), default=0.0, help="decay of averaged weights, 0: none")
    training.add_argument("--monitor", default="{{own.monitor}}", help="metric that chooses the best epoch")
    training.add_argument("--patience", type=number(int), default=0, help="epochs to wait for a better one, 0: all")
    training.add_argument("--seed", type=number(int, below=2**63), default=0, help="of weights, order and augmentation")

    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute")
    precisions = ("auto", "fp32", "bf16", "fp16")
    machine.add_argument("--precision", choices=precisions, default="auto", help="auto: bf16 on a GPU that has it")
    machine.add_argument("--workers", type=number(int), default=min(4, os.cpu_count() or 1), help="to read files")
    machine.add_argument("--compile", action=switch, default=False, help="optimize the model with torch.compile")
    machine.add_argument("--deterministic", action=switch, default=False, help="use deterministic algorithms only")
    machine.add_argument("--profile", action=switch, default=False, help="trace some steps to trace.json")
    machine.add_argument("--doctor", action=Doctor, help="tell what this machine can do, and exit")
    # {% if cookiecutter.distributed != "none" %}
    # {% filter indent(4, true) %}
    # {% include "distributed/" ~ cookiecutter.distributed ~ "/arguments.py" %}
    # {% endfilter %}
    # {% endif %}

    run = parser.add_argument_group("run")
    run.add_argument("--run-dir", type=Path, help="run folder; by default a new one in runs/")
    run.add_argument("--resume", action=switch, default=False, help="go on with --run-dir, or else the newest run")
    run.add_argument("--evaluate", type=Path, metavar="CHECKPOINT", help="only test the weights of this file")
    run.add_argument("--config", type=Path, metavar="CONFIG_JSON", help="take the options of another run's config.json")
    run.add_argument("--quick", action=switch, default=False, help="a whole run in seconds: 2 epochs of 3 batches")
    run.add_argument("--save-every", type=number(int), default=0, help="steps between saves within an epoch, 0: none")
    run.add_argument("--log-every", type=number(int, 1), default=50, help="steps between records within an epoch")
    run.add_argument("--quiet", action=switch, default=False, help="print nothing but warnings and errors")

    args = parse_with_saved_options(parser, sys.argv[1:] if argv is None else argv)
    args.epochs = min(args.epochs, 2) if args.quick else args.epochs
    return args


# {% include "tasks/" ~ cookiecutter.task ~ "/objective.py" %}


def get_run_folder(args: Namespace, runtime: Runtime) -> Path:
    """Claim the run folder, in the name of all processes."""
    return runtime.on_rank_zero(claim_run_folder, args, runtime.resources)


def get_loaders(args: Namespace, runtime: Runtime) -> tuple[Loader, Loader, Loader]:
    """Return the loaders of the training, validation and test splits."""
    train, val, test = runtime.rank_zero_first(DATASETS[args.dataset], args)
    return Loader(args, runtime, train, train=True), Loader(args, runtime, val), Loader(args, runtime, test)


def get_model(args: Namespace, runtime: Runtime, dataset: Any) -> nn.Module:
    """Return the model for the samples of `dataset`, on its device and ready for its processes."""
    return runtime.wrap(new_model(args, runtime, dataset), args)


def get_ema(args: Namespace, runtime: Runtime, model: nn.Module, dataset: Any) -> nn.Module:
    """Return what is evaluated: the exponential moving average of the weights, or with --ema 0 the model itself."""
    return new_model(args, runtime, dataset).requires_grad_(False) if args.ema else runtime.unwrap(model)


def new_model(args: Namespace, runtime: Runtime, dataset: Any) -> nn.Module:
    """Return a model for the samples of `dataset`, on its device; its first weights are always the same."""
    torch.manual_seed(args.seed)
    model = build_model(args, dataset)
    torch.manual_seed(args.seed + 1 + runtime.rank)  # from here on, dropout of its own in every process
    return runtime.place(model, args)


def get_optimizer(args: Namespace, model: nn.Module) -> Optimizer:
    """Return the optimizer; biases and the scales of norms, which have one dimension, do not decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": args.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if args.optimizer == "sgd":
        return SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    return AdamW(groups, lr=args.lr, fused=True)


def get_scheduler(args: Namespace, optimizer: Optimizer, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule of the learning rate, which moves every step: a linear warm-up, then down to 0."""
    steps = args.epochs * steps_per_epoch
    warmup = int(args.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return {"cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress, "constant": 1}[args.schedule]

    return LambdaLR(optimizer, factor)


def get_logger(
    args: Namespace, runtime: Runtime, folder: Path, model: nn.Module, val_loader: Loader, metrics: MetricCollection
) -> Logger:
    """Return what shows the run; its pictures are those of `model` on validation samples."""
    draw = partial(draw_pictures, runtime, model, val_loader, metrics)
    return Logger(args, parse_arguments([]), runtime, folder, higher_is_better(args, metrics), draw)


def get_checkpoint(
    args: Namespace, runtime: Runtime, folder: Path, metrics: MetricCollection, model: nn.Module, **parts: Any
) -> Checkpoint:
    """Return what saves and resumes the run: the model, and all other parts that have a state."""
    parts = {"model": runtime.unwrap(model), "scaler": runtime.scaler, **parts}
    return Checkpoint(args, runtime, folder, higher_is_better(args, metrics)[args.monitor], parts)


def higher_is_better(args: Namespace, metrics: MetricCollection) -> dict[str, bool]:
    """Tell in which direction each metric improves that --monitor may name."""
    directions = {"loss": False} | {name: metric.higher_is_better for name, metric in metrics.items()}
    known = {name: bool(direction) for name, direction in directions.items() if direction is not None}
    if args.monitor not in known:
        raise UserError(f"--monitor {args.monitor}: choose from {', '.join(known)}")
    return known


def train_one_epoch(
    args: Namespace, runtime: Runtime, model: nn.Module, ema: nn.Module, loader: Loader, objective: Objective,
    optimizer: Optimizer, scheduler: LRScheduler, logger: Logger, checkpoint: Checkpoint,
) -> dict[str, float]:  # fmt: skip
    """Train for one epoch, or for what a resumed run has left of it; return the mean loss."""
    model.train()
    scaler = runtime.scaler  # keeps small gradients in fp16; does nothing in other precisions
    scale = scaler.get_scale()
    batches = loader.epoch(checkpoint.epoch, start=checkpoint.step)
    for batch in logger.progress(batches, checkpoint.epoch, checkpoint.step, len(loader)):
        size = loader.size(checkpoint.step)  # samples of this step, over all processes
        lr = float(scheduler.get_last_lr()[0])
        step_loss = torch.zeros((), device=runtime.device)
        micro_batches = list(zip(*(tensor.tensor_split(args.accumulation) for tensor in batch), strict=True))
        for index, micro_batch in enumerate(micro_batches, 1):
            share = len(micro_batch[0]) * runtime.world_size / size  # makes their sum the mean over all samples
            with runtime.gradient_sync(model, index == len(micro_batches)):
                with runtime.autocast():
                    loss, _, _ = objective(model, micro_batch)
                scaler.scale(loss * share).backward()
            step_loss += loss.detach() * share

        if args.clip:
            scaler.unscale_(optimizer)
            clip_grad_norm_(model.parameters(), args.clip)
        scaler.step(optimizer)
        scaler.update()
        previous, scale = scale, scaler.get_scale()
        if scale >= previous:  # else fp16 overflowed and the step was skipped
            scheduler.step()
            if args.ema:
                steps = scheduler.last_epoch  # which counts steps, as the schedule does
                update_ema(ema, runtime.unwrap(model), decay=min(args.ema, steps / (9 + steps)))
        optimizer.zero_grad()

        logger.count(step_loss, size, lr)
        checkpoint.advance()
    return logger.end_epoch()


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the model's; buffers, such as batch norm's statistics, are copied."""
    get_ema_multi_avg_fn(decay)(list(ema.parameters()), list(model.parameters()), None)
    for averaged, buffer in zip(ema.buffers(), model.buffers(), strict=True):
        averaged.copy_(buffer)


@torch.no_grad()
def evaluate(
    runtime: Runtime, model: nn.Module, loader: Loader, objective: Objective, metrics: MetricCollection
) -> dict[str, float]:
    """Return loss and metrics over all samples of all processes, each counted once."""
    model.eval()
    runtime.sync_buffers(model)
    metrics.reset()
    total = torch.zeros(2, device=runtime.device)  # sum of losses, samples
    for batch in loader:
        with runtime.autocast():
            loss, predictions, targets = objective(model, batch)
        metrics.update(predictions, targets)
        total += torch.stack((loss * len(targets), torch.ones_like(loss) * len(targets)))
        runtime.stop_if_asked()
    loss, samples = runtime.sum(total).tolist()
    numbers = {name: value.item() for name, value in metrics.compute().items() if value.numel() == 1}
    return {"loss": loss / samples, **numbers}
