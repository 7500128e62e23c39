"""The table of injected faults: a row for each kind, collected from all tests of a session."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

Report = Callable[..., None]
HEADER = "| fault | injected | lost | silently wrong | hung | |\n|---|---|---|---|---|---|\n"


class Row(NamedTuple):
    """What became of the faults of one kind.

    `lost`: work that a resumed run had to do again beyond what is promised, or a file that nobody
    can read; `wrong`: another result, message, exit code or file than promised; `hung`: no end.
    """

    kind: str
    injected: int
    lost: int
    wrong: int
    hung: int
    note: str


def draw_table(rows: Iterable[Row]) -> str:
    """Return a Markdown table; of a short and a full form of a kind, the one with more faults."""
    largest: dict[str, Row] = {}
    for row in rows:
        if row.kind not in largest or row.injected > largest[row.kind].injected:
            largest[row.kind] = row
    lines = []
    for row in largest.values():
        numbers = f"{row.injected:,} | {row.lost} | {row.wrong} | {row.hung}"
        lines.append(f"| {row.kind} | {numbers} | {row.note} |\n")
    return HEADER + "".join(lines)


def replace_table(path: Path, name: str, table: str) -> None:
    """Replace the table between `<!-- name -->` and `<!-- end -->` in a file."""
    text = path.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    new, found = re.subn(pattern, lambda match: match[1] + table + match[2], text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{path} has no place for a table {name}")
    path.write_text(new, encoding="utf-8")
