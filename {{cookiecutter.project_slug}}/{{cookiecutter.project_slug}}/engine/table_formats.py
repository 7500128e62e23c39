"""Tables as text for the terminal, Markdown, LaTeX or CSV."""

import csv
import io
from collections.abc import Callable

from . import report

Row = dict[str, str]  # cells by column
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "…": r"\dots{}",
        "±": r"$\pm$",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def get_columns(rows: list[Row]) -> list[str]:
    """Return the columns of all rows, in order, each once."""
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    return list(columns)


def get_lines(rows: list[Row]) -> list[list[str]]:
    """Return a list of cells for each row; "-" where a row lacks a column."""
    columns = get_columns(rows)
    return [[row.get(name, "-") for name in columns] for row in rows]


def format_markdown(rows: list[Row]) -> str:
    """Return a table in Markdown."""
    return report.format_table(get_columns(rows), get_lines(rows))


def format_latex(rows: list[Row]) -> str:
    """Return a LaTeX `tabular` with the rules of the package booktabs."""
    lines = []
    for cells in [get_columns(rows), *get_lines(rows)]:
        lines.append(" & ".join(cell.translate(LATEX) for cell in cells) + r" \\")
    header, *body = lines
    begin = r"\begin{tabular}{l" + "r" * (len(get_columns(rows)) - 1) + "}"
    rules = [r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([begin, r"\toprule", header, *rules])


def format_csv(rows: list[Row]) -> str:
    """Return comma-separated values with a header; a missing cell is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, get_columns(rows), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if cell == "-" else cell for name, cell in row.items()})
    return text.getvalue().rstrip("\n")


def format_text(rows: list[Row], width: int) -> list[str]:
    """Return a table with aligned columns, in blocks of columns if it exceeds `width`.

    Each block begins with the first column.
    """
    first, *columns = get_columns(rows)
    start = pad([first, *(row.get(first, "-") for row in rows)], str.ljust)
    blocks = []
    lines = start
    for name in columns:
        cells = pad([name, *(row.get(name, "-") for row in rows)], str.rjust)
        if lines is not start and len(lines[0]) + 2 + len(cells[0]) > width:
            blocks.append(lines)
            lines = start
        lines = [f"{line}  {cell}" for line, cell in zip(lines, cells, strict=True)]
    blocks.append(lines)
    return ["\n".join(block) for block in blocks]


def pad(cells: list[str], justify: Callable[[str, int], str]) -> list[str]:
    """Return the cells of a column with the same width."""
    width = len(max(cells, key=len))
    return [justify(cell, width) for cell in cells]
