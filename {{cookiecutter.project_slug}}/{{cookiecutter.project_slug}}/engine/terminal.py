# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""The terminal: messages that never stop a run, and the last line of a script that has failed."""

import io
import os
import signal
import sys
# {% if cookiecutter.distributed != "none" %}
import time
# {% endif %}
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from .errors import Stopped, UserError
from .out_of_memory import find_message, get_remedy

# What the machine lacks: words of an exception's message, and what its user can do.
REMEDIES = {
    # {% if own.workers %}
    "unable to allocate shared memory": "Enlarge /dev/shm (docker: --shm-size), or --workers 0",
    "is killed by signal: Killed": "It may have needed too much memory: try fewer --workers",
    "exited unexpectedly": "It may have needed too much memory: try fewer --workers",
    "Too many open files": "Try fewer --workers, or raise the limit: ulimit -n 4096",
    # {% endif %}
    "Expected more than 1 value": "Batch norm needs more samples: try a larger --batch-size",
    "InvalidCxxCompiler": "--compile needs a C++ compiler: install one, or leave --compile out",
    "no kernel image is available": "See python main.py --doctor",
    "too old to be supported by the triton": "Leave --compile out",
    "Cannot find a working triton": "--compile needs Triton: install it, or leave --compile out",
}
# {% if cookiecutter.distributed != "none" %}
PEER_IS_GONE = ("Connection closed by peer", "Connection reset by peer", "remote process exited")
# {% endif %}


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line above a progress bar; if nobody can read it any more, say nothing from now on.

    A terminal that was closed, or a pipe whose reader has ended, is no reason to end a run.
    """
    from tqdm import tqdm

    if file is None:
        file = sys.stdout
    try:
        tqdm.write(text, file=file)
        file.flush()
    except (OSError, ValueError):
        silence(file)


def silence(file: TextIO) -> None:
    """Send what is printed from now on to nowhere, what waits in the buffer as well."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it has no file, or is closed
        pass


@contextmanager
def as_script(args: Namespace | None = None) -> Iterator[None]:
    """End a script as its user expects: a mistake of his with one line and exit code 2.

    `args` are the options of a training, which tell what to type if it needs too much memory. A
    stop signal ends it with 128 + the signal's number. An exception of the code keeps its
    traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # for the imports
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
    try:
        yield
    except Stopped as stop:
        # {% if cookiecutter.distributed == "none" %}
        say(f"ended by {signal.Signals(stop.signal).name}", sys.stderr)
        # {% else %}
        if is_rank0():
            say(f"ended by {signal.Signals(stop.signal).name}", sys.stderr)
        # {% endif %}
        sys.exit(128 + stop.signal)
    except KeyboardInterrupt:
        say("stopped", sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        message = explain(error, args)
        # {% if cookiecutter.distributed != "none" %}
        if not is_rank0() or is_of_peer(error):
            time.sleep(5)  # if another process reports it, torchrun ends this one meanwhile
        # {% endif %}
        if not message:
            raise
        # {% if cookiecutter.distributed == "none" %}
        say(f"error: {message}", sys.stderr)
        # {% else %}
        if is_rank0() or not getattr(error, "on_all_ranks", False):
            say(f"error: {message}", sys.stderr)
        # {% endif %}
        sys.unraisablehook = ignore  # a DataLoader without its workers fails again at the end
        sys.exit(2)


def ignore(_error: Any) -> None:
    """Say nothing about an exception in a destructor."""


# {% if cookiecutter.distributed != "none" %}
def is_rank0() -> bool:
    """Return whether this is the process that reports for all."""
    return os.environ.get("RANK", "0") == "0"


def is_of_peer(error: Exception) -> bool:
    """Return whether an error only tells that another process has gone, which has its own."""
    return any(words in str(error) for words in PEER_IS_GONE)


# {% endif %}
def explain(error: Exception, args: Namespace | None) -> str:
    """Return one line for a mistake of the script's user or a limit of the machine, else nothing.

    An error of a DataLoader worker holds the worker's traceback; its last line is the message.
    """
    text = str(error)
    if isinstance(error, UserError):
        return text.rpartition("UserError: ")[2].strip()
    if isinstance(error, MemoryError):
        return "there is not enough memory: try a smaller --batch-size, or smaller samples"
    message = find_message(error)
    if message:
        return f"{message.rstrip('.')}. {get_remedy(args)}"
    for words, remedy in REMEDIES.items():
        for line in text.splitlines():
            if words in line:
                return f"{line.strip().rstrip('.')}. {remedy}"
    return ""
