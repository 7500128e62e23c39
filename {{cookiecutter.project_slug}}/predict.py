# {% import "tasks/" ~ cookiecutter.task ~ "/defaults.jinja" as own %}
"""Predictions of a trained model: `python predict.py RUN INPUT...`.

`predictions.py` of the package reads the inputs, calls the model and writes what it predicts.
"""

import sys
from argparse import Namespace
from pathlib import Path

from {{ cookiecutter.project_slug }}.engine.options import Parser, get_defaults, number
from {{ cookiecutter.project_slug }}.engine.prediction import Info, find_checkpoint
from {{ cookiecutter.project_slug }}.engine.runtime import Runtime, start
from {{ cookiecutter.project_slug }}.engine.terminal import as_script, say
from {{ cookiecutter.project_slug }}.predictions import (
    Inputs,
    Output,
    add_prediction_options,
    predict,
)
from {{ cookiecutter.project_slug }}.utils import get_parser, load_model


def parse_arguments(argv: list[str] | None = None) -> Namespace:
    """Parse the command line; all options that main.py has have their defaults of there."""
    usage = "%(prog)s [options] RUN INPUT..."
    parser = Parser("predict.py", usage=usage, description=__doc__)
    parser.set_defaults(**get_defaults(get_parser()))
    add = parser.add_argument
    help = "run directory, whose best weights predict, or a checkpoint"
    add("run", type=Path, metavar="RUN", help=help)
    add_prediction_options(parser)
    help = "where to write; by default a file or folder with the name predictions in the run"
    add("--output", type=Path, metavar="PATH", help=help)
    add("--batch-size", type=number(int, 1), help="number of inputs that are predicted together")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="device to predict on")
    help = "precision of the forward pass"
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), help=help)
    # {% if own.workers %}
    help = "number of processes that read and decode files, if there are several batches"
    add("--workers", type=number(int, 0, 1001), help=help)
    # {% endif %}
    return parser.parse_intermixed_args(argv)


def main(args: Namespace, runtime: Runtime) -> int:
    """Predict for all inputs, in their order; return how many could not be read."""
    path = find_checkpoint(args.run)
    model, info = load_model(path)
    model = model.to(runtime.device)
    inputs = Inputs(args, runtime, Info(path, info))
    with Output(args, runtime, inputs) as output:
        for indices, batch in inputs:
            output.add(indices, predict(args, runtime, model, batch))
    say(output.summary())
    return inputs.failed


if __name__ == "__main__":
    args = parse_arguments()
    with as_script(), start(args) as runtime:
        failed = main(args, runtime)
    sys.exit(1 if failed else 0)
