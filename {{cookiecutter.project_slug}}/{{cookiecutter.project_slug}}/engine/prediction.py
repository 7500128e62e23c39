"""What predict.py needs for every task: the checkpoint, and the place of the output."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
# {% if cookiecutter.task in cookiecutter._uses.text_outputs %}
from typing import Any, TextIO
# {% else %}
from typing import Any
# {% endif %}

from .errors import UserError
from .files import explain_write, is_full, replacing
from .run_dir import find_weights


class Info(dict[str, Any]):
    """The `info` of a checkpoint. A name that it lacks is a mistake of the command's user."""

    def __init__(self, path: Path, info: dict[str, Any]):
        super().__init__(info)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise UserError(
            f"{self.path} has no {name!r} in its info: it is of another task, or of a data set "
            "that does not tell it"
        )


def find_checkpoint(run: Path) -> Path:
    """Return the checkpoint of a run directory: the best one, or the last if there is none.

    A path of a file is returned as it is. Raises UserError if there is no checkpoint.
    """
    path = find_weights(run)
    if run.is_dir() and not path.is_file():
        raise UserError(f"{run} has no checkpoints/best.pt: it is no run that has trained")
    return path


def find_output(args: Namespace, name: str) -> Path:
    """Return --output, by default a name in the run directory, or here if there is none."""
    if args.output is not None:
        return args.output
    if args.run.is_dir():
        return args.run / name
    folder = args.run.parent
    return folder.parent / name if folder.name == "checkpoints" else Path(name)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a file to write, which becomes `path` at the end of the block if that succeeds.

    Raises UserError if it cannot be written, on a full disk for instance.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary
    except Exception as error:
        if not isinstance(error, OSError) and not is_full(error):
            raise
        raise UserError(f"cannot write {path}: {explain_write(path.parent, error)}") from None
# {% if cookiecutter.task in cookiecutter._uses.text_outputs %}


@contextmanager
def writing_text(path: Path) -> Iterator[TextIO]:
    """Open a text file to write, which becomes `path` at the end of the block; see `writing`."""
    with writing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield file
# {% endif %}
# {% if cookiecutter.task in cookiecutter._uses.labelled_inputs %}


def describe_metrics(metrics: Any) -> str:
    """Return the metrics that are a number as one line, "accuracy 0.9817, macro_f1 0.9803"."""
    parts = []
    for name, value in metrics.compute().items():
        if value.numel() == 1:
            parts.append(f"{name} {float(value):.4f}")
    return ", ".join(parts)
# {% endif %}
