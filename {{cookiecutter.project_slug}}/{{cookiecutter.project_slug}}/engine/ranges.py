"""Ranges of options for a sweep: `1e-4:1e-1:log`, `0:0.5`, `0:0.5:0.1`, or choices `16,32,64`."""

from __future__ import annotations

import itertools
import math
from argparse import Action, ArgumentParser, BooleanOptionalAction
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .options import NOT_SAVED, actions_of, as_words, list_depth, parse_without_required

if TYPE_CHECKING:
    from optuna.trial import Trial

SWITCH = {"true": True, "false": False}  # how a range names the values of --x and --no-x
# What all trials have in common, or what would start none.
NO_RANGE = NOT_SAVED | {"doctor", "help", "monitor"}


@dataclass
class Range:
    """The values of an option that a sweep tries: choices, or numbers from `low` to `high`."""

    name: str
    flag: str
    text: str  # as it was typed
    actions: list[Action]  # of the parser of main.py
    choices: list[Any] = field(default_factory=list)  # empty if there are low and high
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    def suggest(self, trial: Trial) -> Any:
        """Return the value that Optuna's sampler chooses for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if isinstance(self.low, int):
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(self.name, self.low, int(self.high), step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def words(self, value: Any) -> list[str]:
        """Return what to type for a value, e.g. ["--lr", "0.1"]."""
        return as_words(self.name, value, self.actions)

    def grid(self) -> list[Any]:
        """Return all values. Raises UserError if there is no end of them."""
        if self.choices:
            return self.choices
        step = 1 if self.step is None and isinstance(self.low, int) else self.step
        if step is None or self.log:
            raise UserError(
                f"{self.flag} {self.text}: a grid needs choices, such as "
                "0.1,0.2,0.5, or a step, such as 0:0.5:0.1"
            )
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.low + number * step for number in range(count)]


def parse_ranges(parser: ArgumentParser, words: list[str]) -> list[Range]:
    """Return the ranges in a command line, `--lr 1e-4:1e-1:log --width=16,32` for instance.

    `parser` is that of main.py: it knows the names, and it checks each value. Raises UserError.
    """
    ranges: dict[str, Range] = {}
    rest = list(words)
    while rest:
        flag, equals, text = rest.pop(0).partition("=")
        if not equals:
            text = rest.pop(0) if rest else ""
        actions = [action for action in parser._actions if flag in action.option_strings]
        if not actions:
            raise UserError(f"{flag} is an option neither of sweep.py nor of main.py")
        name = actions[0].dest
        if name in NO_RANGE:
            raise UserError(f"{flag} cannot differ between the trials of a sweep")
        if name in ranges:
            raise UserError(f"{flag} has two ranges")
        ranges[name] = parse_range(parser, flag, text, actions_of(parser, name))
    return list(ranges.values())


def parse_range(parser: ArgumentParser, flag: str, text: str, actions: list[Action]) -> Range:
    """Return one range. Raises UserError if it is none."""
    found = Range(actions[0].dest, flag, text, actions)
    if "," in text:
        found.choices = [convert_choice(parser, flag, item) for item in text.split(",")]
        if len(set(found.choices)) < len(found.choices):
            raise UserError(f"{flag} {text}: one of the choices is there twice")
        return found
    low, colon, high = text.partition(":")
    high, _, ending = high.partition(":")
    if not colon:
        raise UserError(
            f"{flag} {text}: a range is needed, such as 0.001:0.1, 0.001:0.1:log or 16,32,64; "
            "an option that is the same in all trials stands behind --"
        )
    bounds = [convert_choice(parser, flag, low), convert_choice(parser, flag, high)]
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise UserError(f"{flag} takes no number: give its choices, such as a,b,c")
    found.low, found.high = bounds
    if found.low >= found.high:
        raise UserError(f"{flag} {text}: {low} is not below {high}")
    found.log = ending == "log"
    if found.log and found.low <= 0:
        raise UserError(f"{flag} {text}: a logarithmic range begins above 0")
    if ending and not found.log:
        found.step = parse_step(flag, text, ending, is_int=isinstance(found.low, int))
    return found


def convert_choice(parser: ArgumentParser, flag: str, text: str) -> Any:
    """Return the value of an option; the parser ends the program if it is a wrong one."""
    action = next(action for action in parser._actions if flag in action.option_strings)
    if isinstance(action, BooleanOptionalAction) or action.nargs == 0:
        if text not in SWITCH or not isinstance(action, BooleanOptionalAction):
            raise UserError(f"{flag} {text}: of a switch, the range is true,false")
        return SWITCH[text]
    if list_depth(action):
        raise UserError(f"{flag} takes several values, which cannot be a range")
    value = getattr(parse_without_required(parser, [f"{flag}={text}"]), action.dest)
    return value if isinstance(value, (int, float, str)) else text


def parse_step(flag: str, text: str, ending: str, is_int: bool) -> float:
    """Return the number behind the second colon of a range."""
    try:
        step = int(ending) if is_int else float(ending)
    except ValueError:
        step = 0
    if not 0 < step < math.inf:
        kind = "a whole number" if is_int else "a number"
        raise UserError(f"{flag} {text}: behind the last : log or {kind} above 0 is needed")
    return step


def make_grid(ranges: list[Range]) -> list[dict[str, Any]]:
    """Return all combinations of the values of some ranges; the last range changes first."""
    names = [found.name for found in ranges]
    grid = []
    for values in itertools.product(*(found.grid() for found in ranges)):
        grid.append(dict(zip(names, values, strict=True)))
    return grid
