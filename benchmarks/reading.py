"""Reading budget: how much one has to read to follow a rendered project, beside other codebases.

`python benchmarks/reading.py [PROJECT]` measures a project, by default one rendered with default
answers, prints a Markdown table, and ends with exit code 1 if a limit is exceeded.
"""

import argparse
import ast
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

TEMPLATE = Path(__file__).resolve().parent.parent
HOPS = Path(__file__).resolve().with_name("hops.py")
EDITED = {"main.py", "utils.py", "models.py", "datasets.py", "plots.py"}  # files that a user edits
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.While, ast.Try, ast.With)
NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)

# Limit, and the same figure of version 0.1 (measured by this script), nanoGPT (train.py, model.py),
# imagenet/main.py of pytorch/examples and lingua (apps/main/train.py). Their longest functions
# count signature and docstring, too, and their dense expressions no assignments. None: unknown.
COLUMNS = ("limit", "version 0.1", "nanoGPT", "imagenet", "lingua")
TABLE: dict[str, tuple[float | None, ...]] = {
    "scripts in the root": (5, 16, 5, 1, 0),
    "hops to torch.save": (3, 7, 0, 2, 2),
    "hops to torch.load": (3, 8, 0, 1, 2),
    "hops to a data set": (2, 6, 1, 1, 1),
    "hops to a scalar's write": (3, 3, 0, None, 2),
    "hops to the tracker's queue": (None, 6, 0, None, 2),
    "hops to forward": (None, 2, 0, 2, 1),
    "hops to backward": (None, 1, 0, 1, 0),
    "lines of the longest function": (40, 54, 55, 170, 382),
    "arguments of a function": (6, 7, 4, 7, 4),
    "arguments of train_one_epoch": (7, 10, None, 7, None),
    "option groups in a function": (1, 4, None, None, None),
    "dense expressions per 100 lines": (8, 15.4, 6.2, 0.9, 0.8),
    "the same, with unpacking": (None, 17.3, None, None, None),
    "lines over 100 columns": (0, 265, None, None, None),
    "fmt: skip": (0, 3, None, None, None),
    "line-length": (100, 120, None, None, None),
    "options in --help": (45, 37, 33, 22, None),
    "lines of code in edited files": (650, 466, 453, 404, 480),
    "lines of code in all files": (None, 1583, 453, 404, 480),
    "lines of main.py": (100, 57, None, None, None),
    "depth of main.py": (2, 2, None, None, None),
}


class Figure(NamedTuple):
    """A measured value, and where it was found."""

    value: float
    place: str = ""


@dataclass
class Source:
    """A Python file: its text, its syntax tree, and its number of lines of code."""

    path: Path
    text: str = field(init=False, repr=False)
    tree: ast.Module = field(init=False, repr=False)
    code: int = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.code = count_code(self.text, self.tree)

    @property
    def functions(self) -> list[Any]:
        """All functions and methods, nested ones included."""
        return [node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS)]


def measure(project: Path) -> dict[str, Figure]:
    """Return the figures of a project by their names in TABLE; this runs the project."""
    return {**measure_text(project), **measure_hops(project), **measure_options(project)}


def measure_text(project: Path) -> dict[str, Figure]:
    """Return the figures that can be read from the files, but for the project's tests."""
    files = []
    for path in sorted(project.rglob("*.py")):
        if "tests" not in path.relative_to(project).parts:
            files.append(Source(path))
    code = sum(file.code for file in files)
    edited = [file.code for file in files if is_edited(file.path.relative_to(project))]
    dense, unpacking = count_dense(files)
    scripts = sorted(path.name for path in project.glob("*.py"))
    settings = (project / "pyproject.toml").read_text(encoding="utf-8")
    main = Source(project / "main.py")
    return {
        "scripts in the root": Figure(len(scripts), ", ".join(scripts)),
        **measure_functions(files),
        "dense expressions per 100 lines": Figure(100 * dense / code),
        "the same, with unpacking": Figure(100 * (dense + unpacking) / code),
        **measure_lines(files),
        "line-length": Figure(int(re.findall(r"^line-length = (\d+)", settings, re.MULTILINE)[0])),
        "lines of code in edited files": Figure(sum(edited)),
        "lines of code in all files": Figure(code),
        "lines of main.py": Figure(len(main.text.splitlines())),
        "depth of main.py": Figure(get_depth(main.tree)),
    }


def is_edited(path: Path) -> bool:
    """Return whether a file of the project is one that its user edits."""
    return path.name in EDITED and "engine" not in path.parts


def count_code(text: str, tree: ast.Module) -> int:
    """Return the number of lines that are not blank, a comment or a docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and ast.get_docstring(node):
            docstring: Any = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(lines)


def measure_functions(files: list[Source]) -> dict[str, Figure]:
    """Return length, number of arguments and of option groups of the worst functions."""
    lengths, arguments, groups, loop = [Figure(0)], [Figure(0)], [Figure(0)], Figure(0)
    for file in files:
        for function in file.functions:
            place = f"{file.path.name}: {function.name}"
            lengths.append(Figure(count_lines(function), place))
            figure = Figure(count_arguments(function), place)
            if function.name == "train_one_epoch":
                loop = figure
            else:
                arguments.append(figure)
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Attribute)]
            names = [call.attr for call in calls]
            groups.append(Figure(names.count("add_argument_group"), place))
    return {
        "lines of the longest function": max(lengths),
        "arguments of a function": max(arguments),
        "arguments of train_one_epoch": loop,
        "option groups in a function": max(groups),
    }


def count_lines(function: Any) -> int:
    """Return the lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def count_arguments(function: Any) -> int:
    """Return the number of named arguments, without `self`."""
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return len([argument for argument in arguments if argument.arg not in ("self", "cls")])


def count_dense(files: list[Source]) -> tuple[int, int]:
    """Return the number of dense expressions, and of assignments that unpack a value.

    Dense are comprehensions, conditional expressions, map, filter, lambda, nested functions, and
    several assignments in one (`a, b = 1, 2` or `a = b = 1`).
    """
    dense = 0
    unpacking = 0
    nested = set()
    for file in files:
        for node in ast.walk(file.tree):
            if is_dense(node):
                dense += 1
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                unpacking += 1
            elif isinstance(node, FUNCTIONS):
                for child in ast.walk(node):
                    if isinstance(child, FUNCTIONS) and child is not node:
                        nested.add(child)
    return dense + len(nested), unpacking


def is_dense(node: ast.AST) -> bool:
    """Return whether a node is a dense expression; nested functions are not seen here."""
    if isinstance(node, ast.Name):
        return node.id in ("map", "filter")
    if isinstance(node, ast.Assign):
        is_pair = isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
        return len(node.targets) > 1 or is_pair
    return isinstance(node, (*COMPREHENSIONS, ast.IfExp, ast.Lambda))


def measure_lines(files: list[Source]) -> dict[str, Figure]:
    """Return the number of long lines, and of places that the formatter leaves alone."""
    long, skipped = [], []
    for file in files:
        for number, line in enumerate(file.text.splitlines(), 1):
            if len(line) > 100:
                long.append(f"{file.path.name}:{number}")
            if "fmt: skip" in line:
                skipped.append(f"{file.path.name}:{number}")
    return {
        "lines over 100 columns": Figure(len(long), " ".join(long[:5])),
        "fmt: skip": Figure(len(skipped), " ".join(skipped[:5])),
    }


def get_depth(node: ast.AST, in_elif: bool = False) -> int:
    """Return how deep blocks are nested in `node`; `elif` is as deep as its `if`."""
    depths = [0]
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        depths.append(get_depth(child, is_elif))
    return max(depths) + (isinstance(node, BLOCKS) and not in_elif)


def measure_hops(project: Path) -> dict[str, Figure]:
    """Return how many functions are between main() and the lines that do the work."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "hops.json")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        run_python([str(HOPS), str(result)], project, environment)
        paths = json.loads(result.read_text(encoding="utf-8"))
    figures = {}
    for name in ("torch.save", "torch.load", "a data set", "a scalar's write"):
        figures[f"hops to {name}"] = get_hops(paths, name)
    for name in ("the tracker's queue", "forward", "backward"):
        if name in paths:  # a project without a tracker has no queue
            figures[f"hops to {name}"] = get_hops(paths, name)
    return figures


def get_hops(paths: dict[str, list[str]], name: str) -> Figure:
    """Return the length of a path and its functions."""
    return Figure(len(paths[name]), " > ".join(paths[name]))


def measure_options(project: Path) -> dict[str, Figure]:
    """Return the number of options that --help shows, without --help itself."""
    text = run_python(["main.py", "--help"], project, {**os.environ, "COLUMNS": "100"})
    options = re.findall(r"^  (?:-\w, )?--([\w-]+)", text, re.MULTILINE)
    return {"options in --help": Figure(len(set(options) - {"help"}))}


def run_python(arguments: list[str], project: Path, environment: dict[str, str]) -> str:
    """Run a Python program in the project's folder, and return its output."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{arguments} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def exceeds(name: str, figure: Figure) -> bool:
    """Return whether a figure is over its limit."""
    limit = TABLE[name][0]
    return limit is not None and figure.value > limit


def format_table(figures: dict[str, Figure]) -> str:
    """Return the figures beside their limits and other codebases, in Markdown."""
    header = ["figure", "this project", *COLUMNS, "place"]
    lines = [header, ["---", *["---:"] * (len(header) - 2), "---"]]
    for name, others in TABLE.items():
        if name in figures:
            mark = " **over**" if exceeds(name, figures[name]) else ""
            cells = ["" if value is None else f"{value:g}" for value in others]
            value = f"{round(figures[name].value, 1):g}{mark}"
            lines.append([name, value, *cells, figures[name].place])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(folder: str) -> Path:
    """Render a project with default answers, and return its folder."""
    from cookiecutter.main import cookiecutter

    settings = {"no_input": True, "default_config": True, "accept_hooks": False}  # quietly
    return Path(cookiecutter(str(TEMPLATE), output_dir=folder, **settings))


def main() -> None:
    """Measure a project, print the table, and name what is over its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", nargs="?", type=Path, help="folder of a rendered project")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args.project or render(folder))
    print(format_table(figures))
    sys.exit(any(exceeds(name, figure) for name, figure in figures.items()))


if __name__ == "__main__":
    main()
