"""Formats for programs without this project, each compared with the model it was made of."""

import copy
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError
from .prediction import writing

PACKAGES = {
    "safetensors": ["safetensors"],
    "pt2": [],
    "onnx": ["onnx", "onnxscript", "onnxruntime"],
}
FILES = {
    "safetensors": "| `model.safetensors` | the weights, by their names in the model |",
    "pt2": "| `model.pt2` | the program of torch.export |",
    "onnx": "| `model.onnx` | the program for ONNX Runtime and others |",
}
# How a program without this project calls the model: imports, and statements.
USES = {
    "pt2": (
        "import torch\n",
        'program = torch.export.load("model.pt2").module()\n'
        "[{outputs}] = [output.detach().numpy() for output in program({tensors})]\n",
    ),
    "onnx": (
        "from onnxruntime import InferenceSession\n",
        'session = InferenceSession("model.onnx")\n[{outputs}] = session.run(None, {feed})\n',
    ),
}
TOLERANCE = 1e-4  # of the largest output, or of 1 if that is smaller

Arguments = tuple[Tensor, ...]  # of the model, each with a row per sample


def check_formats(formats: list[str]) -> None:
    """Raise UserError if a package that a format needs is not installed."""
    for name in formats:
        missing = [package for package in PACKAGES[name] if find_spec(package) is None]
        if missing:
            raise UserError(
                f"--formats {name} needs {', '.join(missing)}: pip install -e '.[export]'"
            )


def export_weights(model: Any, arguments: Arguments, folder: Path) -> tuple[Path, float]:
    """Write the weights as model.safetensors; compare a model that reads them."""
    from safetensors.torch import load_model, save_model

    path = folder / "model.safetensors"
    with writing(path) as temporary:
        save_model(model.model, str(temporary))
        temporary.chmod(0o644)  # safetensors lets nobody else read it
    blank = copy.deepcopy(model)
    for tensor in blank.state_dict().values():
        tensor.zero_()
    load_model(blank.model, str(path))
    return path, compare(path, model, blank, arguments)


def export_program(model: Any, arguments: Arguments, folder: Path) -> tuple[Path, float]:
    """Write the program of torch.export as model.pt2, for any number of samples."""
    path = folder / "model.pt2"
    content = io.BytesIO()  # on a full disk, torch's own writer would end the program
    torch.export.save(trace(model, arguments), content)
    with writing(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path, compare(path, model, torch.export.load(path).module(), arguments)


def export_onnx(model: Any, arguments: Arguments, folder: Path) -> tuple[Path, float]:
    """Write model.onnx, for any number of samples."""
    from onnxruntime import InferenceSession

    path = folder / "model.onnx"
    program: Any = torch.onnx.export(
        trace(model, arguments),
        input_names=model.inputs,
        output_names=model.outputs,
        dynamo=True,
        verbose=False,
    )
    with writing(path) as temporary:
        program.save(temporary, external_data=False)
    session = InferenceSession(path)

    def run(*tensors: Tensor) -> list[Tensor]:
        feed = {}
        for name, tensor in zip(model.inputs, tensors, strict=True):
            feed[name] = tensor.numpy()
        return [torch.from_numpy(output) for output in session.run(None, feed)]

    return path, compare(path, model, run, arguments)


def trace(model: Any, arguments: Arguments) -> torch.export.ExportedProgram:
    """Return the model's program for any number of samples.

    Raises UserError if torch cannot export the model.
    """
    two = tuple(tensor[:1].repeat(2, *[1] * (tensor.ndim - 1)) for tensor in arguments)
    shapes = tuple(dict.fromkeys(model.dynamic, torch.export.Dim.DYNAMIC) for _ in arguments)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(model, two, dynamic_shapes=shapes)
    except Exception as error:  # of many kinds
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"torch cannot export this model ({reason}); --formats safetensors writes its weights"
        ) from None


@torch.no_grad()
def compare(path: Path, model: nn.Module, other: Callable[..., Any], arguments: Arguments) -> float:
    """Return the largest difference of two models, on all samples together and on one alone.

    Raises UserError if they do not compute the same.
    """
    largest = 0.0
    for part in (arguments, tuple(tensor[:1] for tensor in arguments)):
        for one, another in zip(model(*part), other(*part), strict=True):
            scale = max(1.0, float(one.abs().max()))
            difference = float((one.float() - another.float()).abs().max())
            if not difference <= TOLERANCE * scale:
                raise UserError(f"{path} computes other numbers than the model: {difference:.1e}")
            largest = max(largest, difference)
    return largest


def to_plain(value: Any) -> Any:
    """Return a value of `info` with lists in place of tensors."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def describe_use(model: Any, formats: list[str]) -> str:
    """Return a page in Markdown: the files, and programs that use them without this project."""
    imports, prepare, result = model.get_program()
    words = {
        "outputs": ", ".join(model.outputs),
        "tensors": ", ".join(f"torch.from_numpy({name})" for name in model.inputs),
        "feed": "{" + ", ".join(f'"{name}": {name}' for name in model.inputs) + "}",
    }
    lines = ["# The exported model", "", "| file | content |", "|---|---|"]
    lines += [FILES[name] for name in formats]
    lines.append("| `info.json` | what the model knows of its training data |")
    for name in formats:
        if name in USES:
            own_import, call = USES[name]
            code = f"import json\n\nimport numpy\n{own_import}{imports}\n"
            code += 'info = json.load(open("info.json", encoding="utf-8"))\n'
            code += prepare + call.format(**words) + result
            lines += ["", f"With `model.{name}`:", "", "```python", code.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def add_card(run: Path, tag: str, text: str) -> str:
    """Return a model card for the Hugging Face Hub: its header, the summary of the run, `text`."""
    folder = run if run.is_dir() else run.parent.parent
    try:
        summary = (folder / "summary.md").read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"--card needs {folder / 'summary.md'}, which a finished run has") from None
    facts = "\n\n".join(part for part in summary.split("\n\n") if not part.startswith("!["))
    header = f"---\npipeline_tag: {tag}\nlibrary_name: pytorch\n---\n"
    return f"{header}\n{facts.rstrip()}\n\n{text.replace('# ', '## ', 1)}"


EXPORTERS: dict[str, Callable[[Any, Arguments, Path], tuple[Path, float]]] = {
    "safetensors": export_weights,
    "pt2": export_program,
    "onnx": export_onnx,
}
