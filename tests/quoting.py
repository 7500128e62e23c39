"""What README.md quotes from the template and its default project.

Run this file to bring README.md up to date.
"""

import ast
import re
import tempfile
from pathlib import Path

from rendering import CONTEXT, PROMPTS, ROOT, render

README = ROOT / "README.md"
QUOTE = re.compile(r"(<!-- ([\w.]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FIRST = ["main.py", "utils.py", "models.py", "datasets.py", "plots.py"]  # in the tree


def get_quotes(project: Path) -> dict[str, str]:
    """Return the quoted texts by name; benchmarks/ makes results, mnist, reading, tests/ faults."""
    main = (project / "main.py").read_text(encoding="utf-8")
    utils = (project / project.name / "utils.py").read_text(encoding="utf-8")
    return {
        "main.py": f"```python\n{main}```\n",
        "train_one_epoch": f"```python\n{find_function(utils, 'train_one_epoch')}\n```\n",
        "tree": f"```text\n{draw_tree(project)}\n```\n",
        "prompts": draw_prompts(),
        "results": (ROOT / "docs" / "results.md").read_text(encoding="utf-8"),
        "mnist": (ROOT / "docs" / "mnist.md").read_text(encoding="utf-8"),
        "reading": (ROOT / "docs" / "reading.md").read_text(encoding="utf-8"),
        "faults": find_quote(ROOT / "docs" / "faults.md", "faults"),
    }


def find_quote(path: Path, name: str) -> str:
    """Return what stands between `<!-- name -->` and `<!-- end -->` in a file."""
    for match in QUOTE.finditer(path.read_text(encoding="utf-8")):
        if match[2] == name:
            return match[3]
    raise ValueError(f"{path} has no {name}")


def find_function(code: str, name: str) -> str | None:
    """Return the source of a function."""
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(code, node)
    raise ValueError(f"there is no function {name}")


def draw_tree(project: Path) -> str:
    """Return the files of a project; folders below the package are listed in one line."""
    lines = []
    for path in sort_paths(project):
        lines.append(draw_line(path, ""))
        if path.name == project.name:
            for child in sort_paths(path):
                lines.append(draw_line(child, "    "))
    return "\n".join(lines)


def sort_paths(folder: Path) -> list[Path]:
    """Return what a folder holds: scripts, the package, other folders, other files."""

    def key(path: Path) -> tuple[bool, bool, bool, int, str]:
        place = FIRST.index(path.name) if path.name in FIRST else len(FIRST)
        is_package = path.name == folder.name
        return path.suffix != ".py", not is_package, not path.is_dir(), place, path.name

    paths = [path for path in folder.iterdir() if not path.name.startswith("__")]
    return sorted(paths, key=key)


def draw_line(path: Path, indent: str) -> str:
    """Return a line of the tree: the name and, for Python files, the docstring's first line."""
    note = ""
    if path.name == "main.py":
        note = "The run, from top to bottom."
    elif path.suffix == ".py":
        note = get_summary(path)
    elif path.is_dir() and (path / "__init__.py").exists():
        note = get_summary(path / "__init__.py")
    elif path.is_dir() and not path.name.startswith("."):
        note = ", ".join(sorted(child.name for child in path.iterdir()))
    name = indent + path.name + ("/" if path.is_dir() else "")
    return f"{name:<20} {note}".rstrip()


def get_summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]


def draw_prompts() -> str:
    """Return a table of the prompts and their choices; the first is the default."""
    lines = ["| question | answers |", "|---|---|"]
    for name in PROMPTS:
        label = CONTEXT["__prompts__"][name]
        if isinstance(label, dict):
            label = label["__prompt__"]
        answers = "any text"
        if isinstance(CONTEXT[name], list):
            answers = ", ".join(f"`{choice}`" for choice in CONTEXT[name])
        lines.append(f"| {label} (`{name}`) | {answers} |")
    return "\n".join(lines) + "\n"


def bring_up_to_date(text: str, project: Path) -> str:
    """Return README.md with its quotes replaced by what is true now."""
    quotes = get_quotes(project)

    def replace(match: re.Match[str]) -> str:
        return match[1] + quotes[match[2]] + match[4]

    return QUOTE.sub(replace, text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        text = README.read_text(encoding="utf-8")
        README.write_text(bring_up_to_date(text, render({}, Path(folder))), encoding="utf-8")
