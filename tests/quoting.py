"""What README.md quotes from the template and its default project; run this file to bring README.md up to date."""

import ast
import re
import tempfile
from pathlib import Path

from rendering import CONTEXT, PROMPTS, ROOT, render

README = ROOT / "README.md"
QUOTE = re.compile(r"(<!-- ([\w.]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def quotes(project: Path) -> dict[str, str]:
    """Return the quoted texts by name."""
    utils = (project / "utils.py").read_text()
    (loop,) = [
        ast.get_source_segment(utils, node)
        for node in ast.parse(utils).body
        if isinstance(node, ast.FunctionDef) and node.name == "train_one_epoch"
    ]
    return {
        "main.py": f"```python\n{(project / 'main.py').read_text()}```\n",
        "train_one_epoch": f"```python\n{loop}\n```\n",
        "tree": f"```text\n{tree(project)}\n```\n",
        "prompts": prompts(),
        **{name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("results", "mnist")},  # made by benchmarks/
    }


def tree(project: Path) -> str:
    """Return the files of a project, the Python ones with the first line of their docstring."""
    lines = []
    order = ["main.py", "utils.py", "models.py", "datasets.py"]
    paths = sorted(
        project.iterdir(),
        key=lambda path: (path.suffix != ".py", order.index(path.name) if path.name in order else 9, path.name),
    )
    for path in paths:
        note = ""
        if path.suffix == ".py" and path.name != "main.py":
            note = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        elif path.name == "main.py":
            note = "The run, from top to bottom."
        elif path.is_dir() and not path.name.startswith("."):
            note = ", ".join(sorted(child.name for child in path.iterdir()))
        lines.append(f"{path.name + ('/' if path.is_dir() else ''):<20} {note}".rstrip())
    return "\n".join(lines)


def prompts() -> str:
    """Return a table of the prompts and their choices; the first is the default."""
    lines = ["| question | answers |", "|---|---|"]
    for name in PROMPTS:
        label, answer = CONTEXT["__prompts__"][name], CONTEXT[name]
        label = label if isinstance(label, str) else label["__prompt__"]
        answers = ", ".join(f"`{choice}`" for choice in answer) if isinstance(answer, list) else "any text"
        lines.append(f"| {label} (`{name}`) | {answers} |")
    return "\n".join(lines) + "\n"


def up_to_date(text: str, project: Path) -> str:
    """Return README.md with its quotes replaced by what is true now."""
    texts = quotes(project)
    return QUOTE.sub(lambda match: match[1] + texts[match[2]] + match[4], text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        README.write_text(up_to_date(README.read_text(), render({}, Path(folder))))
