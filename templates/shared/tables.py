"""Tables in CSV files."""

import csv
import io
# {% if cookiecutter.task != "text_classification" %}
import math
# {% endif %}
from pathlib import Path

from .errors import UserError


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8. Raises UserError if it cannot be read."""
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, row {number}: {data[error.start]:#x} is not UTF-8; save the file as UTF-8"
        ) from None


# {% if cookiecutter.task != "text_classification" %}
def as_number(cell: str) -> float:
    """Return the finite number in a cell, or NaN if it holds none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


# {% endif %}
def read_csv(
    path: Path, delimiter: str | None = None, has_header: bool = True, quotes: bool = True
) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header of a CSV file, its rows, and the number of each row in the file.

    The file is text in UTF-8; empty lines are left out. Without a delimiter, commas, semicolons or
    tabs separate its cells. Without a header, columns are numbered from 1. Raises UserError with
    the row if the file has another form.
    """
    text = read_text(path)
    if delimiter is None:
        first_line = text.partition("\n")[0]
        delimiter = max(",;\t", key=first_line.count)
    lines = io.StringIO(text, newline="")
    if quotes:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for cells in reader:
            if not cells:
                continue
            rows.append([cell.strip() for cell in cells])
            numbers.append(reader.line_num)
            if len(cells) != len(rows[0]):
                raise UserError(
                    f"{path}, row {reader.line_num}: {len(cells)} cells, "
                    f"but the header has {len(rows[0])}"
                )
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: {error}") from None
    if not rows or (has_header and len(rows) == 1):
        raise UserError(f"{path} is empty: it needs a header and rows below it")
    if not has_header:
        return [str(number) for number in range(1, len(rows[0]) + 1)], rows, numbers
    return rows[0], rows[1:], numbers[1:]
