"""What is seen of a run: progress, metrics.jsonl and pictures. All ranks report, rank 0 shows."""

import json
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn
from tqdm import tqdm

from dashboard import Dashboard
from loader import Loader
from runtime import Runtime, UserError

Draw = Callable[[], dict[str, Figure | str]]  # pictures and texts by their names


class Logger:
    """Takes what the loops report to the terminal, the run folder and the dashboard."""

    def __init__(self, args: Namespace, runtime: Runtime, folder: Path, maximize: bool, draw: Draw):
        self.args, self.runtime, self.folder = args, runtime, folder
        self.maximize, self.draw = maximize, draw
        self.losses: list[Tensor] = []  # of the steps since the last reading; they wait on the device
        self.sizes: list[int] = []  # samples of each of these steps
        self.step, self.lr = 0, 0.0
        self.total, self.samples = 0.0, 0  # of the epoch: the sum of its losses over samples, and their number
        self.logged = (0.0, 0)  # what these were at the last step that was recorded
        self.records: list[dict[str, Any]] = []  # the lines of metrics.jsonl
        self.began, self.drawing = time.perf_counter(), 0.5  # seconds spent, or about to be spent, on pictures

    def print(self, text: str) -> None:
        """Print a line on rank 0, past the progress bar."""
        if self.runtime.rank == 0 and not self.args.quiet:
            tqdm.write(text)

    def introduce(self, model: nn.Module, *loaders: Loader) -> None:
        """Say what is about to run, and open what it is written to."""
        parameters = sum(parameter.numel() for parameter in model.parameters())
        sizes = " + ".join(f"{loader.samples:,}" for loader in loaders)
        self.print(f"device      {self.runtime.device}, {self.runtime.precision}, processes: {self.runtime.world_size}")
        self.print(f"model       {self.args.model}, {parameters:,} parameters")
        self.print(f"data        {self.args.dataset}, {sizes} samples to train, validate and test")
        self.print(f"run folder  {self.folder}")
        if self.runtime.rank == 0:
            resources, path = self.runtime.resources, self.folder / "metrics.jsonl"
            self.file = resources.enter_context(path.open("w", encoding="utf-8"))
            self.file.writelines(json.dumps(record) + "\n" for record in self.records)
            self.dashboard = Dashboard(self.folder, vars(self.args))
            for record in self.records:  # of a resumed run; the dashboard leaves out what it has shown
                self.show(record)
            resources.callback(self.dashboard.finish)

    def progress(self, batches: Iterable[Any], epoch: int, done: int, total: int) -> Iterable[Any]:
        """Show a bar over the batches of an epoch, where there is a terminal to show it on."""
        self.epoch, self.steps_left = epoch + 1, total - done
        self.epoch_began, self.epoch_samples = time.perf_counter(), 0
        if self.args.profile and not self.runtime.rank and not (self.folder / "trace.json").exists():
            batches = profiled(batches, self.folder / "trace.json")
        hide = True if self.args.quiet or self.runtime.rank else None  # None: where there is no terminal
        return tqdm(batches, f"epoch {epoch + 1}", total, initial=done, leave=False, disable=hide, unit="step")

    def count(self, loss: Tensor, samples: int, lr: float) -> None:
        """Keep the loss of one step over `samples` samples; --log-every such steps are read at once."""
        self.losses.append(loss)
        self.sizes.append(samples)
        self.step, self.lr, self.epoch_samples = self.step + 1, lr, self.epoch_samples + samples
        self.steps_left -= 1
        if self.step % self.args.log_every == 0 and self.steps_left:  # the last step has the record of the epoch
            self.read()
            total, seen = self.total - self.logged[0], self.samples - self.logged[1]
            self.logged = (self.total, self.samples)
            self.write({"train/step_loss": total / seen, "lr": lr})

    def read(self) -> None:
        """Add up the losses since the last reading, over all processes; only here the host waits for the device.

        A loss that is not a number ends the run here, before it can reach a checkpoint.
        """
        if not self.losses:
            return
        mine = torch.stack(self.losses)
        losses = (self.runtime.sum(mine.clone()) / self.runtime.world_size).tolist()
        for index, (loss, size) in enumerate(zip(losses, self.sizes, strict=True)):
            if not math.isfinite(loss):
                rank = self.runtime.gather(not math.isfinite(mine[index])).index(True)
                step = self.step - len(losses) + index + 1
                raise UserError(f"the loss is {loss} in step {step} on rank {rank}: try a lower --lr, or --clip")
            self.total, self.samples = self.total + loss * size, self.samples + size
        self.losses, self.sizes = [], []

    def end_epoch(self) -> dict[str, float]:
        """Return the epoch's mean training loss."""
        self.read()
        self.rate = self.epoch_samples / (time.perf_counter() - self.epoch_began)
        return {"loss": self.total / self.samples}

    def log(self, epoch: int, **splits: dict[str, float]) -> None:
        """Record the metrics of a finished epoch, as `train/loss`, `val/loss` and so on."""
        values = {f"{split}/{name}": value for split, metrics in splits.items() for name, value in metrics.items()}
        self.print(f"epoch {epoch + 1:>3}/{self.args.epochs}   {summary(values)}   {self.rate:,.0f} samples/s")
        self.write({**values, "lr": self.lr, "samples_per_second": round(self.rate, 1)})
        self.total, self.samples, self.logged = 0.0, 0, (0.0, 0)
        if self.runtime.broadcast(self.drawing < 0.01 * (time.perf_counter() - self.began)):
            self.show_pictures()

    def finish(self, test: dict[str, float]) -> None:
        """Record the test metrics, draw the final pictures, and say where everything is."""
        values = {f"test/{name}": value for name, value in test.items()}
        self.epoch = self.records[-1]["epoch"] if self.records else 0
        self.write(values)
        self.print(f"test   {summary(values)}")
        for text in self.show_pictures():
            self.print(text)
        self.print(f"weights, metrics and pictures are in {self.folder}")

    def write(self, values: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl, and show it on the dashboard."""
        self.records.append({"epoch": self.epoch, "step": self.step, **values})
        if self.runtime.rank == 0:
            print(json.dumps(self.records[-1]), file=self.file, flush=True)
            self.show(self.records[-1])

    def show(self, record: dict[str, Any]) -> None:
        self.dashboard.scalars(record["step"], {name: value for name, value in record.items() if name != "step"})

    def show_pictures(self) -> list[str]:
        """Draw everything anew, and return the texts; all ranks take part, for the model's forward pass."""
        began = time.perf_counter()
        pictures = self.draw()
        epochs = [record for record in self.records if "val/loss" in record]
        if epochs:
            pictures["curves"] = draw_curves(epochs, self.args.monitor, self.maximize)
        for name, picture in pictures.items() if self.runtime.rank == 0 else ():
            if isinstance(picture, str):
                (self.folder / f"{name}.txt").write_text(picture, encoding="utf-8")
            else:
                picture.savefig(self.folder / f"{name}.png", dpi=150)
                self.dashboard.picture(self.step, name, self.folder / f"{name}.png")
        self.drawing += time.perf_counter() - began
        return [picture for picture in pictures.values() if isinstance(picture, str)]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with its records; ends the run where a loss is not a number."""
        self.read()
        return {name: getattr(self, name) for name in ("step", "lr", "total", "samples", "logged", "records")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the records; those that were written after this state will come again."""
        vars(self).update(state)


def profiled(batches: Iterable[Any], path: Path) -> Iterator[Any]:
    """Pass on the batches of an epoch, and trace the work of six of them, for https://ui.perfetto.dev to show."""
    schedule = torch.profiler.schedule(wait=1, warmup=2, active=6, repeat=1)
    with torch.profiler.profile(
        schedule=schedule, on_trace_ready=lambda p: p.export_chrome_trace(str(path))
    ) as profiler:
        for batch in batches:
            yield batch
            profiler.step()


def summary(values: dict[str, float]) -> str:
    """Values in one line for the terminal."""
    return "   ".join(f"{name} {value:.4g}" for name, value in values.items())


def draw_curves(epochs: list[dict[str, Any]], monitor: str, maximize: bool) -> Figure:
    """Draw loss, the metric that chooses the best epoch, and learning rate over the epochs."""
    names = ["loss", monitor, "lr"] if monitor != "loss" else ["loss", "lr"]
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained", facecolor="white")
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        for key, color in ((f"train/{name}", "tab:blue"), (f"val/{name}", "tab:orange"), (name, "tab:gray")):
            points = [(record["epoch"], record[key]) for record in epochs if key in record]
            if points:
                axes.plot(*zip(*points, strict=True), ".-", color=color, label=key)
        if name == monitor:
            best = (max if maximize else min)(epochs, key=lambda record: record[f"val/{name}"])
            where, value = best["epoch"], best[f"val/{name}"]
            axes.plot(where, value, "*", color="tab:red", markersize=12, label=f"best: {value:.4g}, epoch {where}")
        if name == "loss" and all(record[key] > 0 for record in epochs for key in ("train/loss", "val/loss")):
            axes.set_yscale("log")
        axes.set(title="learning rate" if name == "lr" else name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
