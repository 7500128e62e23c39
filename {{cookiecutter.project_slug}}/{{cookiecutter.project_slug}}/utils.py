# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""The options, the getters of the parts of a run, its state, and the two loops."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import IterableDataset

# {% if own.ignored is defined %}
from .datasets import DATASETS, IGNORED
# {% else %}
from .datasets import DATASETS
# {% endif %}
from .engine.activation_checkpointing import checkpoint_blocks
from .engine.batch import batch_size, split
from .engine.checkpoint import Checkpoint, rebuild_model
# {% if cookiecutter.task in cookiecutter._uses.classes %}
from .engine.classes import get_class_weights
# {% endif %}
# {% if cookiecutter.distributed == "none" %}
from .engine.distributed import unwrap
# {% else %}
from .engine.distributed import (
    parallelize,
    place_model,
    set_gradient_sync,
    sync_buffers,
    unwrap,
)
# {% endif %}
from .engine.doctor import Doctor
# {% if own.workers %}
from .engine.environment import usable_cores
# {% endif %}
from .engine.errors import UserError
from .engine.loader import AnyLoader, Loader, StreamLoader
from .engine.logger import Logger
from .engine.options import Parser, number, parse_with_saved_options
from .engine.run_dir import create_run_dir
from .engine.runtime import Runtime
from .engine.scalars import Scalar, average, get_scalars
# {% if cookiecutter.task in cookiecutter._uses.folds %}
from .engine.splits import fold, folding
# {% endif %}
# {% if own.pretrained %}
from .models import MODELS, PRETRAINED, load_pretrained
# {% else %}
from .models import MODELS
# {% endif %}

if TYPE_CHECKING:  # slow to import
    from torchmetrics import MetricCollection as Metrics

Objective = Callable[[nn.Module, Any], dict[str, Any]]


def parse_arguments(argv: list[str] | None = None) -> Namespace:
    """Parse the command line; `python main.py --help` shows all options with their defaults."""
    args = parse_with_saved_options(get_parser(), sys.argv[1:] if argv is None else argv)
    if args.quick:
        args.epochs = min(args.epochs, 2)
        args.steps_per_epoch = 3
    return args


def get_parser() -> Parser:
    """Return the parser of all options."""
    parser = Parser("main.py")
    add_task_options(parser)
    add_training_options(parser)
    add_machine_options(parser)
    add_run_options(parser)
    return parser


def add_training_options(parser: ArgumentParser) -> None:
    """Add the options of the optimization."""
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=number(int, 1), default={{ own.epochs }}, help="number of epochs to train")
    help = "steps of an epoch, after which the model is validated; 0: one pass over the data"
    add("--steps-per-epoch", type=number(int), default=0, help=help)
    # {% if cookiecutter.distributed == "none" %}
    help = "number of samples in each optimizer step"
    # {% else %}
    help = "number of samples in each optimizer step, over all processes"
    # {% endif %}
    add("--batch-size", type=number(int, 1), default={{ own.batch_size }}, help=help)
    help = "number of micro-batches that a batch is split into (gradient accumulation)"
    add("--grad-accum", type=number(int, 1), default=1, help=help)
    help = "optimizer; sgd has a Nesterov momentum of 0.9"
    add("--optimizer", choices=("adamw", "sgd"), default="adamw", help=help)
    add("--lr", type=number(float), default={{ own.lr }}, help="largest learning rate")
    help = "weight decay; biases and norms have none"
    add("--weight-decay", type=number(float), default={{ own.weight_decay }}, help=help)
    help = "schedule of the learning rate after the warm-up"
    add("--schedule", choices=("cosine", "linear", "constant"), default="cosine", help=help)
    help = "share of all steps in which the learning rate rises (warm-up)"
    add("--warmup-ratio", type=number(float, below=1), default={{ own.warmup }}, help=help)
    help = "largest norm of the gradient; 0: gradients are not clipped"
    add("--grad-clip", type=number(float), default={{ own.clip }}, help=help)
    help = "decay of the exponential moving average of the weights; 0: no average"
    add("--ema", type=number(float, below=1), default=0.0, help=help)
    help = "validation metric that chooses the best epoch: loss, or a metric of the task"
    add("--monitor", default="{{ own.monitor }}", help=help)
    help = "epochs without a better one before early stopping; 0: never stop early"
    add("--patience", type=number(int), default=0, help=help)
    help = "seed of the weights, the order of the samples and the augmentation"
    add("--seed", type=number(int, below=2**63), default=0, help=help)
    # {% if cookiecutter.task in cookiecutter._uses.folds %}
    help = "test part i of k of data without a test split, and train on the others; e.g. 1/5"
    add("--fold", type=fold, metavar="I/K", help=help)
    # {% endif %}


def add_machine_options(parser: ArgumentParser) -> None:
    """Add the options of the hardware."""
    add = parser.add_argument_group("machine").add_argument
    switch = BooleanOptionalAction
    help = "device to train on; auto: a GPU if there is one"
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help=help)
    help = "precision of the forward pass; auto: bf16 on a GPU that supports it"
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help=help)
    # {% if own.workers %}
    help = "number of DataLoader worker processes that read and decode files"
    add("--workers", type=number(int, 0, 1001), default=min(4, usable_cores()), help=help)
    # {% endif %}
    help = "save memory: compute the activations in blocks of the model again when they are needed"
    add("--activation-checkpointing", action=switch, default=False, help=help)
    add("--compile", action=switch, default=False, help="train with torch.compile")
    help = "use deterministic algorithms only, which are slower"
    add("--deterministic", action=switch, default=False, help=help)
    help = "trace some steps to trace.json in the run directory"
    add("--profile", action=switch, default=False, help=help)
    add("--doctor", action=Doctor, help="check this machine and the installation, and exit")
    # {% if cookiecutter.distributed != "none" %}
    # {% filter indent(4, true) %}
    # {% include "distributed/" ~ cookiecutter.distributed ~ "/arguments.py" %}
    # {% endfilter %}
    # {% endif %}


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options of the run directory, of saved options and of the log."""
    add = parser.add_argument_group("run").add_argument
    switch = BooleanOptionalAction
    add("--run-dir", type=Path, metavar="DIR", help="run directory; by default a new one in runs/")
    help = "resume the run in --run-dir, or else the newest run; start one if there is none"
    add("--resume", action=switch, default=False, help=help)
    help = "start from the weights of another run or checkpoint, as far as they fit"
    add("--init-from", type=Path, metavar="RUN", help=help)
    help = "test the weights of a checkpoint, without training"
    add("--evaluate", type=Path, metavar="CHECKPOINT", help=help)
    help = "read all samples once, say what would be used, and exit without training"
    add("--check-data", action=switch, default=False, help=help)
    help = "use a checkpoint although the data differ from those that it was trained on"
    add("--other-data", action=switch, default=False, help=help)
    help = "take the options from the config.json of another run"
    add("--config", type=Path, metavar="JSON", help=help)
    help = "try a whole run in seconds: 2 epochs of 3 steps"
    add("--quick", action=switch, default=False, help=help)
    help = "steps between two checkpoints; 0: only after each epoch"
    add("--save-every", type=number(int), default=0, help=help)
    help = "steps between two records of the training scalars"
    add("--log-every", type=number(int, 1), default=50, help=help)
    add("--quiet", action=switch, default=False, help="print warnings and errors only")


# {% include "tasks/" ~ cookiecutter.task ~ "/utils.py" %}


@dataclass
class TrainState:
    """What a checkpoint holds: the objects with a state_dict, and plain values.

    A new field is saved as well.
    """

    model: nn.Module  # ready to train
    ema_model: nn.Module  # ready to evaluate: the averaged weights, or the model itself
    optimizer: Optimizer
    scheduler: LRScheduler
    scaler: GradScaler
    model_config: dict[str, Any]  # rebuilds the model
    epoch: int = 0  # finished epochs
    step: int = 0  # finished optimizer steps of the run
    best_epoch: int = 0
    best_value: float | None = None  # of --monitor

    def step_in_epoch(self, loader: AnyLoader) -> int:
        """Return the number of finished steps of the current epoch."""
        return self.step - self.epoch * len(loader)


def get_run_dir(args: Namespace, runtime: Runtime) -> Path:
    """Return the run directory, created, writable and locked."""
    # {% if cookiecutter.distributed == "none" %}
    return create_run_dir(args, runtime.resources)
    # {% else %}
    return runtime.processes.run_on_rank0(create_run_dir, args, runtime.resources)
    # {% endif %}


def get_loaders(args: Namespace, runtime: Runtime) -> tuple[Any, Any, Any]:
    """Return the loaders of the training, validation and test splits."""
    # {% if cookiecutter.distributed == "none" and cookiecutter.task in cookiecutter._uses.folds %}
    with folding(args):  # --fold
        train, val, test = DATASETS[args.dataset](args)
    # {% elif cookiecutter.distributed == "none" %}
    train, val, test = DATASETS[args.dataset](args)
    # {% elif cookiecutter.task in cookiecutter._uses.folds %}
    with runtime.processes.rank0_first(), folding(args):  # rank 0 may have to download
        train, val, test = DATASETS[args.dataset](args)
    # {% else %}
    with runtime.processes.rank0_first():  # rank 0 may have to download
        train, val, test = DATASETS[args.dataset](args)
    # {% endif %}
    train_loader = get_loader(args, runtime, train, "train")
    val_loader = get_loader(args, runtime, val, "val")
    return train_loader, val_loader, get_loader(args, runtime, test, "test")


def get_loader(args: Namespace, runtime: Runtime, dataset: Any, split: str) -> AnyLoader:
    """Return the loader of a data set with or without a length."""
    if isinstance(dataset, IterableDataset):
        return StreamLoader(args, runtime, dataset, split)
    return Loader(args, runtime, dataset, split)


def get_train_state(args: Namespace, runtime: Runtime, train_loader: AnyLoader) -> TrainState:
    """Return the model, its average, the optimizer, the schedule and the gradient scaler."""
    model, model_config = get_model(args, train_loader.info)
    ema_model = deepcopy(model).requires_grad_(False) if args.ema else None
    if args.activation_checkpointing:
        checkpoint_blocks(model, args.model)
    # {% if cookiecutter.distributed == "none" %}
    torch.manual_seed(args.seed + 1)  # dropout
    model = model.to(runtime.device)
    trained: Any = torch.compile(model) if args.compile else model
    if ema_model is not None:
        ema_model = ema_model.to(runtime.device)
    # {% else %}
    torch.manual_seed(args.seed + 1 + runtime.processes.rank)  # dropout: other masks on each rank
    model = place_model(args, runtime, model)
    trained = parallelize(args, runtime, model)
    if ema_model is not None:
        ema_model = place_model(args, runtime, ema_model)
    # {% endif %}
    optimizer = get_optimizer(args, trained)
    return TrainState(
        model=trained,
        ema_model=model if ema_model is None else ema_model,
        optimizer=optimizer,
        scheduler=get_scheduler(args, optimizer, steps=args.epochs * len(train_loader)),
        scaler=GradScaler(runtime.device.type, enabled=runtime.precision == "fp16"),
        model_config=model_config,
    )


def get_model(args: Namespace, info: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Return a new model for data as `info` describes them, and its configuration."""
    arguments = get_model_arguments(args, info)
    torch.manual_seed(args.seed)
    model = MODELS[args.model](**arguments)
    # {% if own.pretrained %}
    if args.pretrained and not args.evaluate:
        load_pretrained(args.model, model)
    # {% endif %}
    # {% if own.images %}
    model = model.to(memory_format=torch.channels_last)  # faster convolutions
    # {% endif %}
    return model, {"name": args.model, "arguments": arguments, "info": info}


def load_model(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model of a checkpoint, on the CPU, and the `info` of its training data."""
    return rebuild_model(Path(path), MODELS)


def get_optimizer(args: Namespace, model: nn.Module) -> Optimizer:
    """Return the optimizer; biases and norms, which have one dimension, do not decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": args.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if args.optimizer == "sgd":
        return SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    return AdamW(groups, lr=args.lr, fused=True)


def get_scheduler(args: Namespace, optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return the schedule of the learning rate: a linear warm-up, then --schedule."""
    warmup_steps = int(args.warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = min((step - warmup_steps) / max(steps - warmup_steps, 1), 1.0)
        if args.schedule == "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        if args.schedule == "linear":
            return 1 - progress
        return 1.0

    return LambdaLR(optimizer, factor)


def get_checkpoint(args: Namespace, runtime: Runtime, run_dir: Path) -> Checkpoint:
    """Return the object that saves and loads the state."""
    return Checkpoint(args, runtime, run_dir)


def get_logger(args: Namespace, runtime: Runtime, run_dir: Path, metrics: Metrics) -> Logger:
    """Return the logger. Raises UserError if --monitor names no metric."""
    directions = get_directions(metrics)
    if args.monitor not in directions:
        raise UserError(f"--monitor {args.monitor}: choose from {', '.join(directions)}")
    return Logger(args, runtime, run_dir, directions)


def get_directions(metrics: Metrics) -> dict[str, bool]:
    """Return whether a higher value is better, for each metric that --monitor may name."""
    directions = {"loss": False}
    for name, metric in metrics.items():
        if metric.higher_is_better is not None:
            directions[name] = bool(metric.higher_is_better)
    return directions


def should_stop_early(args: Namespace, state: TrainState) -> bool:
    """Return whether there were --patience epochs without a better one (early stopping)."""
    return args.patience > 0 and state.epoch - state.best_epoch >= args.patience


def end_epoch(args: Namespace, state: TrainState, metrics: Metrics, val: dict[str, float]) -> bool:
    """Count the epoch, and return whether it is the best one so far."""
    state.epoch += 1
    value = val[args.monitor]
    sign = 1 if get_directions(metrics)[args.monitor] else -1
    is_best = state.best_value is None or sign * value > sign * state.best_value
    if not is_best or not math.isfinite(value):
        return False
    state.best_epoch = state.epoch
    state.best_value = value
    return True


def train_one_epoch(
    args: Namespace,
    runtime: Runtime,
    state: TrainState,
    loader: AnyLoader,
    objective: Objective,
    logger: Logger,
    checkpoint: Checkpoint,
) -> dict[str, float]:
    """Train for one epoch, or the rest of it after a resume; return the means of the scalars."""
    state.model.train()
    for batch in loader:
        # {% if cookiecutter.distributed == "none" %}
        samples = loader.batch_size_at(state.step)
        # {% else %}
        samples = loader.batch_size_at(state.step)  # of all processes, divided by their number
        # {% endif %}
        micro_batches = split(batch, args.grad_accum)
        parts = []
        for micro_batch in micro_batches:
            # {% if cookiecutter.distributed != "none" %}
            set_gradient_sync(state.model, micro_batch is micro_batches[-1])
            # {% endif %}
            with runtime.autocast():
                output = objective(state.model, micro_batch)
            parts.append(get_scalars(output, batch_size(micro_batch)))
            count = parts[-1]["loss"][1]  # what the loss is a mean over: samples, or its "weight"
            state.scaler.scale(output["loss"] * (count / samples)).backward()
        scalars = average(parts)
        if "weight" in output:  # of the whole batch, it is known only now
            # {% if cookiecutter.distributed == "none" %}
            total = scalars["loss"][1]
            # {% else %}
            total = runtime.processes.mean(scalars["loss"][1], runtime.device)
            # {% endif %}
            scale_gradients(state.model, samples / total)

        state.scaler.unscale_(state.optimizer)
        if args.grad_clip:
            clip_grad_norm_(state.model.parameters(), args.grad_clip)
        lr = state.scheduler.get_last_lr()[0]
        scale = state.scaler.get_scale()
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        if state.scaler.get_scale() >= scale:  # fp16 skips a step whose gradients overflow
            state.scheduler.step()
            if args.ema:
                update_ema(args, state)

        state.step += 1
        logger.log_step(state, **scalars, lr=lr)
        if args.save_every and state.step % args.save_every == 0:
            checkpoint.save(state, logger)
        runtime.check_stop()
    return logger.epoch_means()


@torch.no_grad()
def scale_gradients(model: nn.Module, factor: Tensor | float) -> None:
    """Multiply all gradients by a factor."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


@torch.no_grad()
def update_ema(args: Namespace, state: TrainState) -> None:
    """Move the averaged weights towards the model's; copy its buffers."""
    steps = state.scheduler.last_epoch  # optimizer steps that were not skipped
    decay = min(args.ema, steps / (9 + steps))  # lower at first, to forget the initial weights
    model, ema_model = unwrap(state.model), state.ema_model
    get_ema_multi_avg_fn(decay)(list(ema_model.parameters()), list(model.parameters()), None)
    for ema_buffer, buffer in zip(ema_model.buffers(), model.buffers(), strict=True):
        ema_buffer.copy_(buffer)


@torch.no_grad()
def evaluate(
    runtime: Runtime, model: nn.Module, loader: AnyLoader, objective: Objective, metrics: Metrics
) -> dict[str, float]:
    """Return the means of the objective's scalars and the metrics, each sample counted once."""
    model.eval()
    # {% if cookiecutter.distributed != "none" %}
    sync_buffers(runtime, model)
    # {% endif %}
    metrics.reset()
    scalars: dict[str, Scalar] = {}
    for batch in loader:
        with runtime.autocast():
            output = objective(model, batch)
        metrics.update(output["predictions"], output["targets"])
        scalars = average([scalars, get_scalars(output, batch_size(batch))])
        runtime.check_stop()
    # {% if cookiecutter.distributed != "none" %}
    scalars = runtime.processes.average(scalars, runtime.device)
    # {% endif %}
    results = {name: float(mean) for name, (mean, _) in scalars.items()}
    for name, value in metrics.compute().items():
        if value.numel() == 1:  # a confusion matrix is for the figures
            results[name] = float(value)
    return results
