# {% if cookiecutter.distributed == "none" %}
"""Logging of a run: metrics.jsonl, the terminal with its progress bar, figures and the summary."""
# {% else %}
"""Logging of a run: metrics.jsonl, the terminal with its progress bar, figures and the summary.

All processes call the logger; rank 0 alone writes and prints.
"""
# {% endif %}

import contextlib
import json
import math
import shlex
import sys
import textwrap
import time
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

# {% if cookiecutter.logger != "none" %}
from .background import BackgroundTracker
# {% endif %}
from .errors import UserError
from .files import replacing, write_text
from .identity import check_samples, write_keys
from .loader import Loader, StreamLoader
# {% if cookiecutter.logger != "none" %}
from .options import to_save
# {% endif %}
from .profiling import peak_memory, start_profiler
# {% if cookiecutter.logger != "none" %}
from .provenance import Start, add_start, describe_code, describe_machine, list_facts
# {% else %}
from .provenance import Start, add_start, describe_code, describe_machine
# {% endif %}
from .report import (
    Record,
    best_epoch,
    draw_curves,
    format_duration,
    format_number,
    format_summary,
    get_train_label,
    read_records,
)
from .run_dir import write_options
from .runtime import Runtime
from .scalars import Scalar, stack
from .terminal import say


class Sums:
    """Running weighted sums of scalars."""

    def __init__(self, sums: dict[str, list[float]] | None = None):
        self.sums = sums or {}  # weighted sum and weight of each scalar

    def add(self, name: str, total: float, weight: float) -> None:
        entry = self.sums.setdefault(name, [0.0, 0.0])
        entry[0] += total
        entry[1] += weight

    def means(self) -> dict[str, float]:
        means = {}
        for name, (total, weight) in self.sums.items():
            means[name] = total / weight if weight else math.nan
        return means


class Logger:
    """Records the scalars of steps, epochs and the test; shows progress; draws figures.

    metrics.jsonl has a line for each record: "step" records with the means since the record before,
    "epoch" records with the means of an epoch and the validation, and one "test" record.
    """

    def __init__(
        self, args: Namespace, runtime: Runtime, run_dir: Path, higher_is_better: dict[str, bool]
    ):
        self.args = args
        self.runtime = runtime
        self.run_dir = run_dir
        self.higher_is_better = higher_is_better
        self.pending: list[tuple[int, str, Scalar]] = []  # step, name; they wait on the device
        self.numbers: dict[str, float] = {}  # the newest value of each scalar that is a number
        self.interval = Sums()  # since the last step record
        self.epoch = Sums()
        self.records: list[Record] = []  # of the epochs
        self.facts: dict[str, str] = {}
        self.notes: list[str] = []  # beside those of the data
        self.starts: list[Start] = []  # of the run, and of its resumes
        self.figures: list[str] = []  # file names
        self.started_at = time.perf_counter()
        self.seconds_before = 0.0  # of the run until it was resumed
        self.drawing_seconds = 0.0  # of all figures, and of the next ones as expected
        self.next_drawing_seconds = 0.5
        self.bar: tqdm | None = None
        self.profiler: torch.profiler.profile | None = None
        self.samples_per_second = 0.0
        self.steps_per_epoch = 0
        self.samples_per_step = 0.0
        self.epoch_steps = 0  # of the current epoch, for its samples per second
        self.epoch_started_at = 0.0
        self.has_header = False
        # {% if cookiecutter.logger != "none" %}
        self.tracker = BackgroundTracker(run_dir, to_save(args))
        # {% endif %}

    def log_start(self, state: Any, train_loader: Loader | StreamLoader, *loaders: Any) -> None:
        """Print and record the device, the model and the data; open metrics.jsonl."""
        self.steps_per_epoch = len(train_loader)
        self.samples_per_step = self.args.batch_size
        if isinstance(train_loader, Loader):
            self.samples_per_step = train_loader.samples / train_loader.batches_per_pass
        self.facts = self.find_facts(state, train_loader, *loaders)
        datasets = train_loader.dataset, loaders[-1].dataset
        # {% if cookiecutter.distributed == "none" %}
        warning = check_samples(self.args, self.run_dir, self.facts["data"], *datasets)
        self.add_start(state, train_loader, *loaders)
        # {% else %}
        warning = self.runtime.processes.run_on_rank0(
            check_samples, self.args, self.run_dir, self.facts["data"], *datasets
        )
        self.runtime.processes.run_on_rank0(self.add_start, state, train_loader, *loaders)
        # {% endif %}
        if warning:
            self.warn(warning)
        for name, fact in self.facts.items():
            self.print(f"{name:<12}{fact}")
        notes = [*train_loader.info.get("notes", []), *self.notes]
        for note in notes:  # a table may have a thousand columns
            text = textwrap.shorten(note, 500, placeholder=" ... (all of it is in run.json)")
            self.print(f"{'note':<12}{text}")
        resumed = f", resumed {self.position(state)}" if state.step else ""
        if self.args.resume and not state.step:
            resumed = ", new: there is no checkpoint to resume"
        self.print(f"{'run':<12}{self.run_dir}{resumed}")
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        write_options(self.run_dir / "config.json", self.args)
        if not self.args.evaluate:
            init_from = self.args.init_from
            write_keys(self.run_dir / "checkpoints", train_loader.dataset, init_from)
        self.write_facts(notes, train_loader.info.get("class_counts", {}))
        records = self.open_records(state)
        self.records = [record for record in records if record["event"] == "epoch"]
        if self.args.profile and not (self.run_dir / "trace.json").exists():
            steps = self.args.epochs * self.steps_per_epoch - state.step
            self.profiler = start_profiler(self.run_dir / "trace.json", steps)
        # {% if cookiecutter.logger != "none" %}
        self.start_tracker(records)
        # {% endif %}

    # {% if cookiecutter.logger != "none" %}
    def start_tracker(self, records: list[Record]) -> None:
        """Start the tracker, and send the records of a resumed run; it skips what it has."""
        self.tracker.options |= list_facts(self.starts[-1])
        self.tracker.start()
        self.runtime.resources.callback(self.finish_tracker)
        for record in records:
            self.tracker.log(record)

    # {% endif %}
    def write_facts(self, notes: list[str], class_counts: dict[str, Any]) -> None:
        """Write run.json: what the run consists of, and where it comes from."""
        facts: dict[str, Any] = {**self.facts, "notes": notes, "class_counts": class_counts}
        facts |= {"higher_is_better": self.higher_is_better, "starts": self.starts}
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        write_text(self.run_dir / "run.json", text + "\n")

    def find_facts(self, state: Any, *loaders: Any) -> dict[str, str]:
        """Describe the device, the model and the data."""
        device = self.runtime.device
        name = str(device)
        if device.type == "cuda":
            name += f" {torch.cuda.get_device_name(device)}"
        name += f", {self.runtime.precision}"
        # {% if cookiecutter.distributed != "none" %}
        name += f", processes: {self.runtime.processes.world_size}"
        # {% endif %}
        parameters = sum(parameter.numel() for parameter in state.model.parameters())
        sizes = []
        for loader in loaders:
            samples = "a stream" if loader.samples is None else f"{len(loader.dataset):,}"
            sizes.append(f"{loader.split} {samples}")
        facts = {
            "device": f"{name}, torch {torch.__version__}",
            "model": f"{self.args.model}, {parameters:,} parameters",
            "data": f"{self.args.dataset}, samples: {', '.join(sizes)}",
        }
        if self.args.evaluate:
            facts["weights"] = str(self.args.evaluate)
        if self.args.init_from:
            facts["weights"] = f"at first those of {self.args.init_from}"
        counts = loaders[0].info.get("class_counts", {}).get("train")
        if counts:
            largest = max(counts, key=counts.__getitem__)
            share = counts[largest] / sum(counts.values())
            facts["classes"] = f"{len(counts)}, the largest {largest} with {share:.1%} of train"
        return facts

    def add_start(self, state: Any, *loaders: Any) -> None:
        """Add this start to those of the run, and the commit of its code to the facts."""
        datasets = [loader.dataset for loader in loaders]
        self.starts = add_start(self.run_dir, self.runtime.start, state.step, datasets)
        code = describe_code(self.starts)
        if code:
            self.facts["code"] = code

    def open_records(self, state: Any) -> list[Record]:
        """Drop the records of a resumed run that come after its state; return the others."""
        path = self.run_dir / "metrics.jsonl"
        records = []
        for record in read_records(path) if path.exists() else []:
            is_known = {
                "step": record["step"] <= state.step,
                "epoch": record["epoch"] <= state.epoch,
                "test": False,
            }
            if is_known[record["event"]]:
                records.append(record)
        write_text(path, "".join(json.dumps(record) + "\n" for record in records))
        return records

    def log_step(self, state: Any, **scalars: Scalar | Tensor | float) -> None:
        """Log the scalars of a step that `state.step` counts already.

        A tensor, or a pair of a mean and its weight, is averaged over the steps; a number is
        recorded as it is. Tensors stay on the device until a record is due, every --log-every
        steps.
        """
        if self.bar is None:
            self.bar = self.start_epoch(state)
        for name, value in scalars.items():
            # {% if cookiecutter.distributed == "fsdp" %}
            if isinstance(value, Tensor) and hasattr(value, "full_tensor"):
                value = value.full_tensor()  # the norm of sharded gradients
            # {% endif %}
            if isinstance(value, tuple):
                self.pending.append((state.step, name, value))
            elif isinstance(value, Tensor):
                if value.dim():
                    raise ValueError(f"{name!r} must be a scalar, it is {tuple(value.shape)}")
                self.pending.append((state.step, name, (value.detach(), 1.0)))
            else:
                self.numbers[name] = float(value)
        self.epoch_steps += 1
        self.bar.update()
        if self.profiler is not None:
            self.profiler.step()
        if state.step % self.args.log_every == 0 and state.step % self.steps_per_epoch != 0:
            # An epoch ends with its own record.
            self.reduce()
            means = {**self.interval.means(), **self.numbers}
            self.interval = Sums()
            self.write(state, "step", {f"step/{name}": mean for name, mean in means.items()})

    def start_epoch(self, state: Any) -> tqdm:
        """Start the clock of an epoch; return its progress bar, which needs a terminal."""
        disable = True if self.args.quiet else None  # None: if there is no terminal
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            disable = True
        # {% endif %}
        done = (state.step - 1) % self.steps_per_epoch
        title = self.title(state.epoch + 1)
        self.epoch_started_at = time.perf_counter()
        self.epoch_steps = -1  # the first step was over when the clock started
        return tqdm(
            desc=title,
            total=self.steps_per_epoch,
            initial=done,
            leave=False,
            disable=disable,
            unit=" steps",
            dynamic_ncols=True,
        )

    def reduce(self) -> None:
        # {% if cookiecutter.distributed != "none" %}
        """Add the waiting scalars to the running sums, over all processes.

        The host waits for the device here alone, apart from fp16's gradient scaler. Raises
        UserError if a loss is not finite, on all ranks.
        """
        # {% else %}
        """Add the waiting scalars to the running sums.

        The host waits for the device here alone, apart from fp16's gradient scaler. Raises
        UserError if a loss is not finite.
        """
        # {% endif %}
        pending, self.pending = self.pending, []
        if not pending:
            return
        sums = stack([scalar for _, _, scalar in pending], self.runtime.device)
        # {% if cookiecutter.distributed != "none" %}
        own = sums
        sums = self.runtime.processes.sum(sums.clone())
        # {% endif %}
        for index, (total, weight) in enumerate(sums.tolist()):
            step, name, _ = pending[index]
            if name == "loss" and not math.isfinite(total):
                # {% if cookiecutter.distributed != "none" %}
                self.raise_not_finite(step, total, own[index, 0].item())
                # {% else %}
                raise UserError(
                    f"the loss is {total} in step {step}: try a lower --lr, or --grad-clip"
                )
                # {% endif %}
            self.interval.add(name, total, weight)
            self.epoch.add(name, total, weight)

    # {% if cookiecutter.distributed != "none" %}
    def raise_not_finite(self, step: int, total: float, own: float) -> None:
        """Raise UserError on all ranks, with the number of the rank whose loss is not finite."""
        finite = self.runtime.processes.gather(math.isfinite(own))
        error = UserError(
            f"the loss is {total} in step {step} on rank {finite.index(False)}: "
            "try a lower --lr, or --grad-clip"
        )
        error.on_all_ranks = True
        raise error

    # {% endif %}
    def epoch_means(self) -> dict[str, float]:
        """Return the means of the scalars over the epoch; close its progress bar."""
        self.reduce()
        if self.bar is not None:
            if self.epoch_steps:
                seconds = time.perf_counter() - self.epoch_started_at
                self.samples_per_second = self.epoch_steps * self.samples_per_step / seconds
            self.bar.close()
            self.bar = None
        return {**self.epoch.means(), **self.numbers}

    def log_epoch(self, state: Any, **splits: dict[str, float]) -> None:
        """Record the metrics of a finished epoch, as `train/loss`, `val/loss` and so on."""
        values = {}
        for split, metrics in splits.items():
            for name, value in metrics.items():
                values[f"{split}/{name}"] = value
        if self.samples_per_second:  # 0 if the resumed run had only to validate
            values["samples_per_second"] = round(self.samples_per_second, 1)
        values["seconds"] = round(self.seconds(), 1)
        self.write(state, "epoch", values)
        self.print_epoch(state.epoch, values)
        self.interval = Sums()
        self.epoch = Sums()

    def print_epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Print a row of the table of epochs, with a star if none before it was better."""
        cells = {}
        for name, value in values.items():
            if name not in ("train/lr", "seconds"):
                cells[name.replace("samples_per_second", "samples/s")] = format_number(value)
        cells.setdefault("samples/s", "")
        needed = {"train/loss", "val/loss", f"val/{self.args.monitor}", "samples/s"}
        for name in reversed(list(cells)):  # those that 80 columns have no room for
            width = len(self.title(epoch)) + sum(2 + max(len(name), 8) for name in cells)
            if width > 77 and name not in needed:
                del cells[name]
        if not self.has_header:
            self.has_header = True
            header = [" " * len(self.title(epoch)), *(f"{name:>8}" for name in cells)]
            self.print("\n" + "  ".join(header))
        row = [self.title(epoch)]
        for name, text in cells.items():
            row.append(text.rjust(max(len(name), 8)))
        if self.best_epoch().get("epoch") == epoch:
            row.append("*")
        self.print("  ".join(row))

    def log_figures(
        self, state: Any, make_figures: Callable[..., Any], model: Any, loader: Any, metrics: Any
    ) -> None:
        """Draw the curves and the task's figures, before the test in under 1 % of the run's time.

        A figure that fails is a warning.
        """
        expected = self.drawing_seconds + self.next_drawing_seconds
        due = loader.split == "test" or expected < 0.01 * self.seconds()
        # {% if cookiecutter.distributed != "none" %}
        due = self.runtime.processes.broadcast(due)
        # {% endif %}
        if not due:
            return
        started_at = time.perf_counter()
        if self.records:
            with self.warn_of_failure("curves"):
                label = get_train_label(self.args)
                curves = draw_curves(self.records, self.args.monitor, self.higher_is_better, label)
                self.save_figure(state, "curves", curves)
        with self.warn_of_failure("figures"):
            for name, figure in make_figures(self.runtime, model, loader, metrics).items():
                self.save_figure(state, name, figure)
        self.next_drawing_seconds = time.perf_counter() - started_at
        self.drawing_seconds += self.next_drawing_seconds

    @contextlib.contextmanager
    def warn_of_failure(self, what: str) -> Iterator[None]:
        """Turn an exception while figures are drawn, which ends no run, into a warning."""
        try:
            with warnings.catch_warnings():  # a font without some letters of a name
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = " ".join(repr(error).split())
            place = f"{Path(where.filename).name}, line {where.lineno}"
            self.warn(f"no {what}: {reason} in {place}")

    def save_figure(self, state: Any, name: str, figure: Any) -> None:
        """Write a figure as PNG, or a text as TXT."""
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        path = self.run_dir / (f"{name}.txt" if isinstance(figure, str) else f"{name}.png")
        with self.warn_of_failure(path.name), replacing(path) as temporary:
            if isinstance(figure, str):
                temporary.write_text(figure, encoding="utf-8")
            else:
                figure.savefig(temporary, dpi=150, format="png")
        if not path.is_file():
            return
        # {% if cookiecutter.logger != "none" %}
        if path.suffix == ".png":
            self.tracker.log_figure(state.step, name, path)
        # {% endif %}
        if path.name not in self.figures:
            self.figures.append(path.name)

    def log_stop(self, state: Any) -> None:
        """Say where a stop signal has ended the run, and how to continue it."""
        command = "python main.py"
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.world_size > 1:
            command = "torchrun ... main.py"  # as this run was started
        # {% endif %}
        run_dir = shlex.quote(str(self.run_dir))
        self.print(f"stopped {self.position(state)}")
        self.print(f"to continue: {command} --resume --run-dir {run_dir}")

    def finish(self, state: Any, test: dict[str, float]) -> None:
        """Record the test metrics, write the summary, and print the results."""
        values = {f"test/{name}": value for name, value in test.items()}
        seconds = self.seconds()
        self.write(state, "test", {**values, "seconds": round(seconds, 1)})
        self.facts["time"] = format_duration(seconds)
        speeds = []
        for record in self.records:
            if "samples_per_second" in record:
                speeds.append(record["samples_per_second"])
        if speeds:
            self.facts["time"] += f", {median(speeds):,.0f} training samples/s"
        memory, where = peak_memory(self.runtime.device)
        # {% if cookiecutter.distributed != "none" %}
        memory = max(self.runtime.processes.gather(memory))
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        self.facts["peak memory"] = f"{memory / 2**30:.2f} GiB of {where}"
        self.facts |= describe_machine(self.starts[-1])
        best = self.best_epoch()
        summary = format_summary(self.run_dir, self.args, self.facts, best, values, self.figures)
        write_text(self.run_dir / "summary.md", summary)
        self.print_results(best, values)
        # {% if cookiecutter.logger != "none" %}
        finals = {f"best/{name}": value for name, value in best.items() if name.startswith("val/")}
        files = [self.run_dir / name for name in ("summary.md", "config.json", *self.figures)]
        self.tracker.log_summary({**finals, **values}, files)
        # {% endif %}

    def print_results(self, best: Record, test: dict[str, float]) -> None:
        """Print the results, the files, and the commands that come next."""
        lines = []
        if best:
            monitor = f"val/{self.args.monitor}"
            value = format_number(best[monitor])
            lines.append(("best", f"epoch {best['epoch']}, {monitor} {value}"))
        results = [f"{name} {format_number(value)}" for name, value in test.items()]
        lines.append(("test", ", ".join(results)))
        lines.append(("time", self.facts["time"]))
        lines.append(("summary", str(self.run_dir / "summary.md")))
        lines.append(("figures", ", ".join(self.figures)))
        if best:
            weights = shlex.quote(str(self.run_dir / "checkpoints" / "best.pt"))
            lines.append(("evaluate", f"python main.py --evaluate {weights}"))
        if best and len(list(self.run_dir.parent.glob("*/metrics.jsonl"))) > 1:
            runs = shlex.quote(str(self.run_dir.parent))
            lines.append(("compare", f"python compare.py {runs}/*"))
        self.print("")
        for name, text in lines:
            self.print(f"{name:<12}{text}")

    # {% if cookiecutter.logger != "none" %}
    def finish_tracker(self) -> None:
        """Wait for the tracker, after a stop signal for a few seconds only."""
        self.tracker.finish(3 if self.runtime.received else 30)

    # {% endif %}
    def write(self, state: Any, event: str, values: dict[str, float]) -> None:
        """Append a record to metrics.jsonl."""
        epoch = state.epoch + 1 if event == "step" else state.epoch
        record: Record = {"event": event, "epoch": epoch, "step": state.step}
        for name, value in values.items():
            record[name] = value if math.isfinite(value) else None  # JSON has no NaN
        if event == "epoch":
            self.records.append(record)
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        path = self.run_dir / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        # {% if cookiecutter.logger != "none" %}
        self.tracker.log(record)
        # {% endif %}

    def print(self, text: str) -> None:
        """Print a line above the progress bar, unless --quiet."""
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        if not self.args.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        # {% if cookiecutter.distributed != "none" %}
        if self.runtime.processes.rank != 0:
            return
        # {% endif %}
        say(f"warning: {text}", sys.stderr)

    def title(self, epoch: int) -> str:
        """Return the head of an epoch's row and progress bar."""
        total = str(self.args.epochs)
        return f"epoch {epoch:>{len(total)}}/{total}"

    def position(self, state: Any) -> str:
        """Return where the run is, in the same words for a stop and a resume."""
        done = state.step - state.epoch * self.steps_per_epoch
        epochs = f"{state.epoch} of {self.args.epochs} epochs done"
        if done:
            epochs += f" and {done} of {self.steps_per_epoch} steps of the next"
        return f"at step {state.step:,} ({epochs})"

    def best_epoch(self) -> Record:
        """Return the record of the epoch with the best validation value of --monitor."""
        return best_epoch(self.records, self.args.monitor, self.higher_is_better)

    def seconds(self) -> float:
        """Return the seconds that the run has taken, before and after it was resumed."""
        return self.seconds_before + time.perf_counter() - self.started_at

    def state_dict(self) -> dict[str, Any]:
        """Return the running sums and times, for a checkpoint."""
        return {
            "interval": self.interval.sums,
            "epoch": self.epoch.sums,
            "numbers": self.numbers,
            "seconds": self.seconds(),
            "drawing_seconds": [self.drawing_seconds, self.next_drawing_seconds],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the running sums and times of a checkpoint."""
        self.interval = Sums(state["interval"])
        self.epoch = Sums(state["epoch"])
        self.numbers = state["numbers"]
        self.seconds_before = state["seconds"]
        self.drawing_seconds, self.next_drawing_seconds = state["drawing_seconds"]
