"""Exceptions that end a run without a traceback."""

from argparse import Namespace


class UserError(Exception):
    """A mistake of the person who typed the command; ends the run with one line, exit code 2."""
# {% if cookiecutter.distributed != "none" %}

    on_all_ranks = False  # whether each process raises it; rank 0 alone then reports it
# {% endif %}


class Stopped(Exception):
    """A stop signal has arrived; raised at the end of a step, where the run can be saved."""

    def __init__(self, signal: int):
        super().__init__(signal)
        self.signal = signal


def refuse_unused(args: Namespace, *names: str, dataset: str = "") -> None:
    """Raise UserError if one of these options is given: the chosen data set does not use it.

    With `dataset`, only if that one is chosen: another data set may be made of it.
    """
    for name in names:
        if name in args.changed and dataset in ("", args.dataset):
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{option} is of no use for --dataset {args.dataset}: leave it out, or choose "
                "another --dataset, see --help"
            )
