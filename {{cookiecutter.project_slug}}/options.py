"""How options are read: from the command line, behind those that another run has saved."""

import json
import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

NOT_SAVED = {"config", "resume", "evaluate", "run_dir"}  # options that say where a run's other options come from
MAY_CHANGE = {"compile", "data_dir", "device", "dist_timeout", "epochs", "log_every", "patience", "profile", "quiet"}
MAY_CHANGE |= {"save_every", "sharded_checkpoints", "workers"}  # a resumed run may have others of these


class UserError(Exception):
    """A mistake that the person at the keyboard can mend: the run ends with this one line and exit code 2."""


class Parser(ArgumentParser):
    """Ends with one line where an option is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; python {self.prog} --help shows all options\n")


def parse_with_saved_options(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parse `argv` behind the options that --config, --evaluate or --resume bring, so that the command line wins."""
    args = parser.parse_args(argv)
    if args.evaluate and args.resume:
        parser.error("--evaluate and --resume exclude each other")
    if args.resume and args.run_dir is None:
        newest = max(Path("runs").glob("*/config.json"), key=lambda path: path.stat().st_mtime, default=None)
        args.run_dir = None if newest is None else newest.parent
    if args.evaluate and args.config is None:
        args.config = args.evaluate.parent.parent / "config.json"
    resumed = args.resume and args.run_dir is not None and (args.run_dir / "config.json").exists()
    path = args.run_dir / "config.json" if resumed else args.config
    if path is None:
        return args
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        tokens = [as_token(name, value) for name, value in saved.items() if value is not None]
    except (OSError, ValueError, AttributeError) as error:
        parser.error(f"cannot read the options in {path}: {error}")
    run_dir, args = args.run_dir, parser.parse_args([*tokens, *argv])
    args.run_dir = run_dir
    for name, value in json.loads(json.dumps(vars(args), default=str)).items() if resumed else ():
        if name not in NOT_SAVED | MAY_CHANGE and value != saved.get(name, value):
            parser.error(
                f"{as_token(name, value)} is {saved[name]} in {args.run_dir}; leave it out, or start a new run"
            )
    return args


def as_token(name: str, value: Any) -> str:
    """Return what a person would type for one saved option."""
    flag = name.replace("_", "-")
    return f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag}={value}"


def number(kind: type, least: float = 0, below: float = math.inf) -> Callable[[str], Any]:
    """Return a type for an option: a finite number of at least `least` and below `below`."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not least <= value < below:
            raise ArgumentTypeError(f"{text} is not in the range from {least} to below {below}")
        return value

    parse.__name__ = kind.__name__  # names what was expected in argparse's own message
    return parse
