"""Search over options: `python sweep.py --lr 1e-4:1e-1:log --optimizer adamw,sgd -- --epochs 5`.

Options of main.py before -- get a range: LOW:HIGH, LOW:HIGH:log, LOW:HIGH:STEP, or choices A,B,C
(true,false for a switch); those behind -- are the same in all trials. Each trial is a run of
main.py. Ctrl-C stops the sweep, --resume continues it.
"""

import json
import math
import os
import signal
import sys
import time
from argparse import BooleanOptionalAction, Namespace
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from {{ cookiecutter.project_slug }}.engine.environment import usable_cores
from {{ cookiecutter.project_slug }}.engine.errors import Stopped, UserError
from {{ cookiecutter.project_slug }}.engine.files import write_text
from {{ cookiecutter.project_slug }}.engine.options import Parser, number, typed_names
from {{ cookiecutter.project_slug }}.engine.ranges import Range, make_grid, parse_ranges
from {{ cookiecutter.project_slug }}.engine.run_dir import lock
from {{ cookiecutter.project_slug }}.engine.runtime import STOP_SIGNALS, start
from {{ cookiecutter.project_slug }}.engine.search import (
    SAMPLERS,
    Plan,
    Search,
    Trial,
    TrialState,
    is_stored,
)
from {{ cookiecutter.project_slug }}.engine.sweep_report import describe_sweep, describe_trial, draw_sweep
from {{ cookiecutter.project_slug }}.engine.terminal import as_script, say
from {{ cookiecutter.project_slug }}.engine.trial_run import TrialRun
from {{ cookiecutter.project_slug }}.utils import (
    get_directions,
    get_loaders,
    get_metrics,
    get_parser,
    parse_arguments,
)

STORAGE = Path("runs", "sweeps.db")  # of all sweeps


def parse_command(argv: list[str]) -> Namespace:
    """Parse the command line; `ranges` and `options` are the words for main.py around --."""
    end = argv.index("--") if "--" in argv else len(argv)
    usage = "%(prog)s [options] --OPTION RANGE ... [-- options of main.py]"
    parser = Parser("sweep.py", usage=usage, description=__doc__)
    add = parser.add_argument
    help = "number of settings to try (default: 20, or all of a grid)"
    add("--trials", type=number(int, 1), help=help)
    help = "tpe: Optuna's own, which learns from the trials before; random; grid (default: tpe)"
    add("--sampler", choices=SAMPLERS, help=help)
    help = "runs of each setting, with as many seeds (default: 1)"
    add("--seeds", type=number(int, 1), help=help)
    help = "stop a trial that is worse than the median of others (default: yes, without --seeds)"
    add("--prune", action=BooleanOptionalAction, help=help)
    help = "number of trials at the same time (default: one on each GPU, or one)"
    add("--jobs", type=number(int, 1), help=help)
    help = "name of the sweep, whose runs are in runs/NAME (default: a new one)"
    add("--name", help=help)
    help = "continue the sweep --name, or else the newest one; start one if there is none"
    add("--resume", action="store_true", help=help)
    args, ranges = parser.parse_known_args(argv[:end])
    args.ranges = ranges
    args.options = argv[end + 1 :]
    return args


# ------------------------------------------------------------------------- what the sweep is to do


def find_folder(args: Namespace) -> Path:
    """Return the folder of the sweep. Raises UserError if a new one would have that of another."""
    if args.name is not None:
        folder = Path("runs", args.name)
        if folder.parent != Path("runs") or args.name in ("", ".", ".."):
            raise UserError(f"--name {args.name}: the name of one folder is needed")
        if folder.exists() and not args.resume:
            raise UserError(f"{folder} is there: continue it with --resume, or give another --name")
        return folder
    sweeps = sorted(Path("runs").glob("*/sweep.json"), key=os.path.getmtime)
    if args.resume and sweeps:
        return sweeps[-1].parent
    return Path("runs", f"sweep-{time.strftime('%Y%m%d-%H%M%S')}")


def get_plan(args: Namespace, path: Path) -> Plan:
    """Return what the sweep is to do: the plan that is saved in a file, or a new one.

    Raises UserError if a sweep is resumed with other settings, but for --trials.
    """
    if path.exists():
        plan = Plan(**json.loads(path.read_text(encoding="utf-8")))
        for name in ("ranges", "options", "sampler", "seeds", "prune"):
            if getattr(args, name) not in (None, [], getattr(plan, name)):
                raise UserError(f"--resume: {path.parent} was started with other {name}")
    else:
        ranges = parse_ranges(get_parser(), args.ranges)
        fixed = typed_names(get_parser(), args.options)
        for option in ranges:
            if option.name in fixed or (option.name == "seed" and args.seeds):
                raise UserError(f"{option.flag} has a range, and stands behind -- or in --seeds")
        if args.prune and (args.seeds or 1) > 1:
            raise UserError("--prune: with --seeds, all seeds of a setting run to their end")
        monitor, maximize, seed = find_metric(args.options, ranges)
        plan = Plan(
            ranges=args.ranges,
            options=args.options,
            sampler=args.sampler or "tpe",
            trials=20 if ranges else 1,
            seeds=args.seeds or 1,
            first_seed=seed,
            prune=args.prune is not False,
            monitor=monitor,
            maximize=maximize,
        )
        if args.sampler == "grid":
            plan.trials = len(make_grid(ranges))
    plan.trials = args.trials or plan.trials
    return plan


def find_metric(options: list[str], ranges: list[Range]) -> tuple[str, bool, int]:
    """Return --monitor, whether a higher value is better, and --seed.

    The data are read as the first trial will do, so that a mistake in the options ends the sweep
    before it begins.
    """
    words = list(options)
    for option in ranges:
        words += option.words(option.choices[0] if option.choices else option.low)
    args = parse_arguments(words)
    for name in ("check_data", "evaluate", "resume", "run_dir"):
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')} cannot stand behind --: it is no training")
    monitor, seed = args.monitor, args.seed
    args.device, args.precision = "cpu", "fp32"
    with start(args) as runtime:
        train_loader, _, _ = get_loaders(args, runtime)
        directions = get_directions(get_metrics(args, runtime, train_loader.info))
    if monitor not in directions:
        raise UserError(f"--monitor {monitor}: choose from {', '.join(directions)}")
    return monitor, directions[monitor], seed


# --------------------------------------------------------------------------------------- the trials


@dataclass
class Active:
    """A trial that runs, and the place it has: the number of a GPU, or of a share of the CPU."""

    trial: Trial
    run: TrialRun
    place: int
    epochs: int = 0  # that have been reported


def get_places(jobs: int | None) -> list[dict[str, str]]:
    """Return the environment of each trial that runs at the same time."""
    gpus = torch.cuda.device_count()
    jobs = jobs or max(gpus, 1)
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        numbers = visible.split(",")
        return [{"CUDA_VISIBLE_DEVICES": numbers[job % gpus]} for job in range(jobs)]
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(usable_cores() // jobs, 1))
    return [{"OMP_NUM_THREADS": threads}] * jobs


def run_trials(search: Search, folder: Path, places: list[dict[str, str]]) -> None:
    """Run all trials that are left. Raises Stopped after a stop signal, when all have saved."""
    received = catch_signals()
    active: list[Active] = []
    free = list(range(len(places)))
    while True:
        while free and not received:
            trial = search.next_trial()
            if trial is None:
                break
            words = search.plan.options + search.get_words(trial)
            place = free.pop(0)
            run = TrialRun(words, folder / f"trial-{trial.number:03d}", places[place])
            active.append(Active(trial, run, place))
        if received:
            stop(active, received)
        if not active:
            return
        for item in list(active):
            if watch(search, item):
                active.remove(item)
                free.append(item.place)
        time.sleep(0.2)


def watch(search: Search, item: Active) -> bool:
    """Look after a trial: start it, prune it, record how it has ended; return whether it has."""
    plan, run = search.plan, item.run
    code = run.poll()
    values = run.values(plan.monitor)
    if len(values) > item.epochs:
        item.epochs = len(values)
        if search.report(item.trial, values) and code is None:
            run.prune()
    if code is None:
        return False
    if run.test():  # it has reached its end, whatever it was told meanwhile
        value = run.best_value(plan.monitor, plan.maximize)
        error = "" if math.isfinite(value) else f"val/{plan.monitor} was finite in no epoch"
        search.finish(item.trial, value, error)
    elif run.is_pruned:
        search.finish(item.trial)
    else:
        search.finish(item.trial, error=run.why_failed(code))
    say(describe_trial(search, item.trial.number))
    return True


def catch_signals() -> list[int]:
    """Return a list to which each stop signal adds its number.

    SIGHUP, if it tells that the terminal was closed, stops nothing.
    """
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    for name in STOP_SIGNALS:
        stop_signal = getattr(signal, name, None)
        if stop_signal is None or signal.getsignal(stop_signal) is signal.SIG_IGN:  # as by nohup
            continue
        is_closing = name == "SIGHUP" and sys.stdin.isatty()
        signal.signal(stop_signal, signal.SIG_IGN if is_closing else receive)
    return received


def stop(active: list[Active], received: list[int]) -> None:
    """Pass each stop signal on to the trials; raise Stopped when they have saved their states."""
    passed_on = 0
    while any(item.run.is_running() for item in active):
        while passed_on < len(received):
            for item in active:
                item.run.send(received[passed_on])
            passed_on += 1
        time.sleep(0.1)
    raise Stopped(received[0])


def main(args: Namespace, resources: ExitStack) -> int:
    """Run the sweep, or what is left of it; return the exit code."""
    folder = find_folder(args)
    plan = get_plan(args, folder / "sweep.json")
    ranges = parse_ranges(get_parser(), plan.ranges)
    if not (folder / "sweep.json").exists() and is_stored(folder.name, STORAGE):
        raise UserError(f"{STORAGE} holds a sweep {folder.name!r} before this: give another --name")
    folder.mkdir(parents=True, exist_ok=True)
    lock(folder, resources)
    write_text(folder / "sweep.json", json.dumps(vars(plan), indent=2) + "\n")
    search = Search(plan, ranges, folder.name, STORAGE)
    say(f"sweep       {folder}: {search.total()} trials, {len(search.trials())} begun before")
    try:
        run_trials(search, folder, get_places(args.jobs))
    except Stopped:
        say(f"stopped; to go on: python sweep.py --resume --name {folder.name}", sys.stderr)
        raise
    say(describe_sweep(search, folder))
    draw_sweep(search).savefig(folder / "sweep.png", dpi=150)
    say(f"figure      {folder / 'sweep.png'}")
    say(f"dashboard   optuna-dashboard sqlite:///{STORAGE}")
    return 0 if search.trials(TrialState.COMPLETE) else 1


if __name__ == "__main__":
    args = parse_command(sys.argv[1:])
    with as_script(), ExitStack() as resources:
        code = main(args, resources)
    sys.exit(code)
