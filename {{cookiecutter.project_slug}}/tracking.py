"""What is seen of a run: progress, metrics.jsonl and pictures. All ranks report, rank 0 shows."""

import json
import math
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

from curves import draw_curves
from dashboard import Dashboard
from loader import Loader
from runtime import Runtime, UserError
from summary import best_epoch, duration, write_summary

Draw = Callable[[], dict[str, Figure | str]]  # pictures and texts by their names


class Logger:
    """Takes what the loops report to the terminal, the run folder and the dashboard.

    `defaults` are the options of a run without any, and `higher_is_better` has the direction of each metric.
    """

    def __init__(
        self, args: Namespace, defaults: Namespace, runtime: Runtime, folder: Path, higher_is_better: dict[str, bool],
        draw: Draw,
    ):  # fmt: skip
        self.args, self.defaults, self.runtime, self.folder = args, defaults, runtime, folder
        self.higher_is_better, self.maximize, self.draw = higher_is_better, higher_is_better[args.monitor], draw
        self.losses: list[Tensor] = []  # of the steps since the last reading; they wait on the device
        self.sizes: list[int] = []  # samples of each of these steps
        self.step, self.lr = 0, 0.0
        self.total, self.samples = 0.0, 0  # of the epoch: the sum of its losses over samples, and their number
        self.logged = (0.0, 0)  # what these were at the last step that was recorded
        self.records: list[dict[str, Any]] = []  # the lines of metrics.jsonl
        self.began, self.earlier = time.perf_counter(), 0.0  # seconds that the run had taken when it was resumed
        self.drawing, self.last_drawing = 0.0, 0.5  # seconds spent on pictures, and what the next ones may take
        self.header_is_due = True

    def print(self, text: str) -> None:
        """Print a line on rank 0, past the progress bar."""
        if self.runtime.rank == 0 and not self.args.quiet:
            tqdm.write(text)

    def introduce(self, model: nn.Module, *loaders: Loader) -> None:
        """Say what is about to run, and open what it is written to."""
        runtime, device = self.runtime, self.runtime.device
        parameters = sum(parameter.numel() for parameter in model.parameters())
        sizes = " + ".join(f"{loader.samples:,}" for loader in loaders)
        gpu = f" {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
        self.facts = {
            "device": f"{device}{gpu}, {runtime.precision}, processes: {runtime.world_size}, torch {torch.__version__}",
            "model": f"{self.args.model}, {parameters:,} parameters",
            "data": f"{self.args.dataset}, {sizes} samples to train, validate and test",
        }
        self.facts |= {"weights": str(self.args.evaluate)} if self.args.evaluate else {}
        resumed = f", resumed at step {self.step:,}" if self.step else ""
        for name, fact in (self.facts | {"run folder": f"{self.folder}{resumed}"}).items():
            self.print(f"{name:<12}{fact}")
        if runtime.rank == 0:
            facts = json.dumps({**self.facts, "higher_is_better": self.higher_is_better}, indent=2, ensure_ascii=False)
            lines = "".join(json.dumps(record) + "\n" for record in self.records)
            with writing_to(self.folder):
                (self.folder / "run.json").write_text(facts + "\n", encoding="utf-8")
                (self.folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
            self.dashboard = Dashboard(self.folder, vars(self.args))
            for record in self.records:  # of a resumed run; the dashboard leaves out what it has shown
                self.show(record)
            runtime.resources.callback(self.dashboard.finish)

    def progress(self, batches: Iterable[Any], epoch: int, done: int, total: int) -> Iterable[Any]:
        """Show a bar over the batches of an epoch, where there is a terminal to show it on."""
        self.epoch, self.steps_left = epoch + 1, total - done
        self.epoch_began, self.epoch_samples = time.perf_counter(), 0
        if self.args.profile and not self.runtime.rank and not (self.folder / "trace.json").exists():
            batches = profiled(batches, self.folder / "trace.json", self.steps_left)
        hide = True if self.args.quiet or self.runtime.rank else None  # None: where there is no terminal
        title = self.title(epoch + 1)
        return tqdm(batches, title, total, initial=done, leave=False, disable=hide, unit=" steps", dynamic_ncols=True)

    def title(self, epoch: int) -> str:
        """What an epoch's line, and its bar, begin with."""
        return f"epoch {str(epoch).rjust(len(str(self.args.epochs)))}/{self.args.epochs}"

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
        seconds = self.seconds()
        rates = {"lr": self.lr, "samples_per_second": round(self.rate, 1), "seconds": round(seconds, 1)}
        self.write({**values, **rates})
        self.print_epoch(epoch + 1, {name: f"{value:.4g}" for name, value in values.items()})
        self.total, self.samples, self.logged = 0.0, 0, (0.0, 0)
        if self.runtime.broadcast(self.drawing + self.last_drawing < 0.01 * seconds):
            self.show_pictures()

    def print_epoch(self, epoch: int, cells: dict[str, str]) -> None:
        """Print a row of the table of epochs, with a star where there was none better before it."""
        cells = {**cells, "samples/s": f"{self.rate:,.0f}"}
        if self.header_is_due:
            self.print("\n" + " " * len(self.title(epoch)) + "".join(f"  {name:>8}" for name in cells))
            self.header_is_due = False
        row = "".join("  " + cell.rjust(max(len(name), 8)) for name, cell in cells.items())
        best = best_epoch(self.records, self.args.monitor, self.maximize).get("epoch") == epoch
        self.print(f"{self.title(epoch)}{row}{'  *' if best else ''}")

    def finish(self, test: dict[str, float]) -> None:
        """Record the test metrics, draw the final pictures, sum the run up, and say where everything is."""
        values = {f"test/{name}": value for name, value in test.items()}
        self.epoch = self.records[-1]["epoch"] if self.records else 0
        seconds = self.seconds()
        self.write({**values, "seconds": round(seconds, 1)})
        pictures = self.show_pictures()
        speeds = [record["samples_per_second"] for record in self.records if "samples_per_second" in record]
        speed = f", {median(speeds):,.0f} training samples/s" if speeds else ""
        self.facts["time"] = f"{duration(seconds)}{speed}"
        memory, where = peak_memory(self.runtime.device)
        self.facts["peak memory"] = f"{max(self.runtime.gather(memory)) / 2**30:.2f} GiB of {where}"
        best = best_epoch(self.records, self.args.monitor, self.maximize)
        if self.runtime.rank == 0:
            with writing_to(self.folder):
                write_summary(self.folder, self.args, self.defaults, self.facts, best, values, pictures)
        self.print_end(best, values, pictures)

    def print_end(self, best: dict[str, Any], test: dict[str, float], pictures: list[str]) -> None:
        """Print what was reached, where it is, and which commands go on from there."""
        folder, monitor = self.folder, f"val/{self.args.monitor}"
        lines = [("best", f"epoch {best['epoch']}, {monitor} {best[monitor]:.4g}")] if best else []
        lines += [("test", ", ".join(f"{name} {value:.4g}" for name, value in test.items()))]
        lines += [("time", self.facts["time"]), ("summary", str(folder / "summary.md"))]
        lines += [("beside it", ", ".join(pictures))]
        if best:
            weights = shlex.quote(str(folder / "checkpoints" / "best.pt"))
            lines += [("evaluate", f"python main.py --evaluate {weights}")]
        if best and len(list(folder.parent.glob("*/metrics.jsonl"))) > 1:
            lines += [("compare", f"python compare.py {shlex.quote(str(folder.parent))}/*")]
        self.print("")
        for name, text in lines:
            self.print(f"{name:<12}{text}")

    def write(self, values: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl, and show it on the dashboard."""
        self.records.append({"epoch": self.epoch, "step": self.step, **values})
        if self.runtime.rank == 0:
            with writing_to(self.folder), (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                print(json.dumps(self.records[-1]), file=file)
            self.show(self.records[-1])

    def show(self, record: dict[str, Any]) -> None:
        """Show a record on the dashboard, which has a clock of its own."""
        values = {name: value for name, value in record.items() if name not in ("step", "seconds")}
        self.dashboard.scalars(record["step"], values)

    def show_pictures(self) -> list[str]:
        """Draw everything anew, and return the files' names; all ranks take part, for the model's forward pass."""
        began, names = time.perf_counter(), []
        epochs = [record for record in self.records if "val/loss" in record]
        curves = {"curves": draw_curves(epochs, self.args.monitor, self.maximize)} if epochs else {}
        pictures = {**curves, **self.draw()}
        for name, picture in pictures.items() if self.runtime.rank == 0 else ():
            path = self.folder / (f"{name}.txt" if isinstance(picture, str) else f"{name}.png")
            try:
                if isinstance(picture, str):
                    path.write_text(picture, encoding="utf-8")
                else:
                    picture.savefig(path, dpi=150)
                    self.dashboard.picture(self.step, name, path)
            except OSError as error:  # nothing that a run would have to end for
                print(f"warning: cannot write {path}: {error.strerror}", file=sys.stderr)
            else:
                names.append(path.name)
        self.last_drawing = time.perf_counter() - began
        self.drawing += self.last_drawing
        return names

    def seconds(self) -> float:
        """Seconds that the run has taken by now, in all its sessions."""
        return self.earlier + time.perf_counter() - self.began

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with its records; ends the run where a loss is not a number."""
        self.read()
        names = ("step", "lr", "total", "samples", "logged", "records", "drawing", "last_drawing")
        return dict({name: getattr(self, name) for name in names}, earlier=self.seconds())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the records; those that were written after this state will come again."""
        vars(self).update(state)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn what a full disk or missing rights raise into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None


def profiled(batches: Iterable[Any], path: Path, steps: int) -> Iterator[Any]:
    """Pass on the batches of an epoch, and trace the work of some of them, for https://ui.perfetto.dev to show."""
    warmup = min(3, steps // 2)
    schedule = torch.profiler.schedule(wait=0, warmup=warmup, active=min(6, steps - warmup), repeat=1)
    with torch.profiler.profile(
        schedule=schedule, on_trace_ready=lambda p: p.export_chrome_trace(str(path))
    ) as profiler:
        for batch in batches:
            yield batch
            profiler.step()


def peak_memory(device: torch.device) -> tuple[int, str]:
    """Return how many bytes were in use at most, and where: of the GPU, or else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "the GPU"
    if sys.platform == "win32":
        return 0, "the process (not measured on Windows)"
    import resource  # Windows has no such module

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "the process"
