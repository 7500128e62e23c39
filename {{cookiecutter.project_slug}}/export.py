"""Export of a trained model: `python export.py RUN INPUT...` writes files that need no project.

model.safetensors holds the weights, model.pt2 the program of torch.export, model.onnx that for ONNX
Runtime and others; README.md tells how to use them. Each is compared with the model on the inputs.
"""

import json
from argparse import Namespace
from pathlib import Path

from {{ cookiecutter.project_slug }}.engine.export import (
    EXPORTERS,
    add_card,
    check_formats,
    describe_use,
    to_plain,
)
from {{ cookiecutter.project_slug }}.engine.files import write_text
from {{ cookiecutter.project_slug }}.engine.options import Parser, get_defaults
from {{ cookiecutter.project_slug }}.engine.prediction import Info, find_checkpoint, find_output
from {{ cookiecutter.project_slug }}.engine.runtime import Runtime, start
from {{ cookiecutter.project_slug }}.engine.terminal import as_script, say
from {{ cookiecutter.project_slug }}.exports import Exported
from {{ cookiecutter.project_slug }}.predictions import Inputs, add_prediction_options
from {{ cookiecutter.project_slug }}.utils import get_parser, load_model


def parse_arguments(argv: list[str] | None = None) -> Namespace:
    """Parse the command line; the inputs are those of predict.py."""
    parser = Parser("export.py", usage="%(prog)s [options] RUN INPUT...", description=__doc__)
    parser.set_defaults(**get_defaults(get_parser()))
    add = parser.add_argument
    help = "run directory, whose best weights are exported, or a checkpoint"
    add("run", type=Path, metavar="RUN", help=help)
    add_prediction_options(parser)
    help = "folder to write to; by default export/ in the run"
    add("--output", type=Path, metavar="PATH", help=help)
    help = "formats to write"
    add("--formats", nargs="+", choices=EXPORTERS, default=list(EXPORTERS), help=help)
    help = "make README.md a model card for the Hugging Face Hub, with the summary of the run"
    add("--card", action="store_true", help=help)
    args = parser.parse_args(argv)
    args.device, args.precision = "cpu", "fp32"  # to compare with
    return args


def main(args: Namespace, runtime: Runtime) -> None:
    """Write the files, and print how far the numbers of each are from the model's."""
    check_formats(args.formats)
    path = find_checkpoint(args.run)
    model, info = load_model(path)
    _, batch = next(iter(Inputs(args, runtime, Info(path, info))))
    exported = Exported(model, info)
    arguments = exported.get_arguments(batch)
    folder = find_output(args, "export")
    for name in args.formats:
        path, difference = EXPORTERS[name](exported, arguments, folder)
        say(f"{path}: {difference:.1e} is the largest difference on {len(arguments[0])} inputs")
    write_text(folder / "info.json", json.dumps(to_plain(info), indent=1))
    text = describe_use(exported, args.formats)
    if args.card:
        text = add_card(args.run, exported.card, text)
    write_text(folder / "README.md", text)
    say(f"{folder / 'README.md'}: how to use them")


if __name__ == "__main__":
    args = parse_arguments()
    with as_script(), start(args) as runtime:
        main(args, runtime)
