"""One training loop in a process of its own, each epoch beside a burst of the bare loop.

    python benchmarks/loop_variants.py VARIANT MODEL STEPS EPOCHS FOLDER

trains in FOLDER, and writes the times of all epochs into FOLDER/epochs.json. The frameworks run
with their defaults; they are imported where they are used.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))  # a rendered project imports loop_work, too

from loop_work import (
    BATCH,
    WORK,
    Clock,
    Indexed,
    Work,
    compute_loss,
    get_model,
    make_data,
    make_loader,
    make_optimizer,
    make_plain_loader,
    train_bare,
)

FOLDER = Path.cwd()


def bare(work: Work, steps: int, epochs: int) -> Clock:
    """Train by the bare loop, as the bursts do: the control."""
    return train_by_hand(make_loader, compute_loss, work, steps, epochs)


def indexing(work: Work, steps: int, epochs: int) -> Clock:
    """Train by the bare loop without a DataLoader."""
    return train_by_hand(Indexed, compute_loss, work, steps, epochs)


def tensor_dataset(work: Work, steps: int, epochs: int) -> Clock:
    """Train by the bare loop with the DataLoader of most examples."""
    return train_by_hand(make_plain_loader, compute_loss, work, steps, epochs)


def no_smoothing(work: Work, steps: int, epochs: int) -> Clock:
    """Train by the bare loop with the cheaper loss that the project has by --label-smoothing 0."""
    return train_by_hand(make_loader, F.cross_entropy, work, steps, epochs)


def with_additions(additions: str, work: Work, steps: int, epochs: int) -> Clock:
    """Train by the bare loop and what most users add to it.

    `additions` names a "schedule" of the learning rate, the "accuracy" of each batch, and "groups"
    of parameters, of which biases and norms have no weight decay.
    """
    model = work.model()
    optimizer = make_optimizer(model, work)
    if "groups" in additions:
        matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=work.lr, weight_decay=0.05, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs)
    batches = make_loader(make_data(work, steps))
    clock = Clock(work, steps)
    for _ in range(epochs):
        clock.start()
        right = torch.tensor(0)
        for inputs, classes in batches:
            logits = model(inputs)
            loss = compute_loss(logits, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if "schedule" in additions:
                scheduler.step()
            if "accuracy" in additions:
                right += (logits.argmax(dim=1) == classes).sum()
        clock.stop()
    return clock


def train_by_hand(
    make_batches: Callable[..., Any],
    loss_function: Callable[[Tensor, Tensor], Tensor],
    work: Work,
    steps: int,
    epochs: int,
) -> Clock:
    """Train by a loop that is written by hand; `make_batches` makes an iterable of the data."""
    batches = make_batches(make_data(work, steps))
    model = get_model(work)
    optimizer = make_optimizer(model, work)
    clock = Clock(work, steps)
    for _ in range(epochs):
        clock.start()
        train_bare(model, optimizer, batches, loss_function)
        clock.stop()
    return clock


def project(work: Work, steps: int, epochs: int, precision: str = "fp32") -> Clock:
    """Train by main.py of the rendered project in the folder, with its default options."""
    sys.path.insert(0, str(FOLDER / "my_project"))
    import main as script  # type: ignore[import-not-found]
    from my_project.engine.runtime import start  # type: ignore[import-not-found]

    train_one_epoch = script.train_one_epoch

    def measured(*arguments: Any) -> Any:
        clock.start()
        scalars = train_one_epoch(*arguments)
        clock.stop()
        return scalars

    script.train_one_epoch = measured
    options = {"device": "cpu", "model": "measured", "dataset": "measured", "epochs": epochs}
    options |= {"batch-size": BATCH, "lr": work.lr, "run-dir": FOLDER / "run"}
    options["precision"] = precision
    words = []
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    args = script.parse_arguments(words)
    with start(args) as runtime:
        clock = Clock(work, steps)
        script.main(args, runtime)
    return clock


def lightning(work: Work, steps: int, epochs: int) -> Clock:
    """Train by Lightning's Trainer; as in its first example, the step logs the loss."""
    from lightning import Callback, LightningModule, Trainer

    clock = Clock(work, steps)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = work.model()

        def training_step(self, batch: Any, _number: int) -> Any:
            inputs, classes = batch
            loss = compute_loss(self.model(inputs), classes)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return make_optimizer(self.model, work)

    class Measured(Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            clock.start()

        def on_train_epoch_end(self, *_: Any) -> None:
            clock.stop()

    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=FOLDER, callbacks=[Measured()]
    )
    trainer.fit(Module(), make_loader(make_data(work, steps)))
    return clock


def accelerate(work: Work, steps: int, epochs: int) -> Clock:
    """Train by a loop with Accelerate."""
    from accelerate import Accelerator

    model = work.model()
    accelerator = Accelerator(cpu=True)
    model, optimizer, loader = accelerator.prepare(
        model, make_optimizer(model, work), make_loader(make_data(work, steps))
    )
    return train_with(accelerator, model, optimizer, loader, Clock(work, steps), epochs)


def fabric(work: Work, steps: int, epochs: int) -> Clock:
    """Train by a loop with Lightning Fabric."""
    from lightning import Fabric

    fabric = Fabric(accelerator="cpu")
    model = work.model()
    model, optimizer = fabric.setup(model, make_optimizer(model, work))
    loader = fabric.setup_dataloaders(make_loader(make_data(work, steps)))
    return train_with(fabric, model, optimizer, loader, Clock(work, steps), epochs)


def train_with(
    tool: Any, model: nn.Module, optimizer: Any, loader: Any, clock: Clock, epochs: int
) -> Clock:
    """Train by the bare loop, in which a tool with `backward` has prepared the parts."""
    for _ in range(epochs):
        clock.start()
        for inputs, classes in loader:
            loss = compute_loss(model(inputs), classes)
            optimizer.zero_grad()
            tool.backward(loss)
            optimizer.step()
        clock.stop()
    return clock


def ignite(work: Work, steps: int, epochs: int) -> Clock:
    """Train by Ignite's supervised trainer."""
    from ignite.engine import Events, create_supervised_trainer

    clock = Clock(work, steps)
    model = work.model()
    trainer = create_supervised_trainer(model, make_optimizer(model, work), compute_loss)
    trainer.add_event_handler(Events.EPOCH_STARTED, clock.start)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, clock.stop)
    trainer.run(make_loader(make_data(work, steps)), max_epochs=epochs)
    return clock


def hf_trainer(work: Work, steps: int, epochs: int) -> Clock:
    """Train by Hugging Face's Trainer."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock = Clock(work, steps)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = work.model()

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(inputs)
            return {"loss": compute_loss(logits, labels), "logits": logits}

    class Measured(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            clock.stop()

    model = Model()
    arguments = TrainingArguments(
        str(FOLDER / "run"),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
    )
    trainer = Trainer(
        model,
        arguments,
        data_collator=lambda batch: {"inputs": batch[0], "labels": batch[1]},
        train_dataset=make_loader(make_data(work, steps)).dataset,
        optimizers=(make_optimizer(model, work), None),
        callbacks=[Measured()],
    )
    trainer.train()
    return clock


VARIANTS: dict[str, Callable[[Work, int, int], Clock]] = {
    "bare again: the control": bare,
    "bare, tensor indexing": indexing,
    "bare, DataLoader(TensorDataset)": tensor_dataset,
    "bare, no label smoothing": no_smoothing,
    "bare, schedule": partial(with_additions, "schedule"),
    "bare, accuracy": partial(with_additions, "accuracy"),
    "bare, groups": partial(with_additions, "groups"),
    "bare, schedule, accuracy, groups": partial(with_additions, "schedule, accuracy, groups"),
    "rendered project": project,
    "rendered project, bf16": partial(project, precision="bf16"),
    "Ignite": ignite,
    "Fabric": fabric,
    "Accelerate": accelerate,
    "HF Trainer": hf_trainer,
    "Lightning": lightning,
}


if __name__ == "__main__":
    name, model_name, step_count, epoch_count, folder = sys.argv[1:]
    FOLDER = Path(folder)
    torch.manual_seed(0)
    # A rendered project joins the process group itself.
    by_hand = "RANK" in os.environ and not name.startswith("rendered project")
    if by_hand:
        distributed.init_process_group("gloo")
    clock = VARIANTS[name](WORK[model_name], int(step_count), int(epoch_count))
    if os.environ.get("RANK", "0") == "0":
        (FOLDER / "epochs.json").write_text(json.dumps(clock.epochs))
    if by_hand:
        distributed.destroy_process_group()
