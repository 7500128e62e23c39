"""The harness of the benchmarks; no test asserts a time."""

import re
import sys

from rendering import ROOT
from running import python

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench
import checkpoints
import data
import growth
import language
import loop
import processes
import pytest
import render
import startup


def test_loop_table(tmp_path, record_property, monkeypatch):
    """Measure a few steps of the bare loop and of the rendered project, in forks."""
    monkeypatch.setattr(loop, "start", python)
    variants = ["bare again: the control", "rendered project"]
    found = loop.measure("tiny MLP", variants, runs=1, steps=3, epochs=3)
    table = loop.draw_table("tiny MLP", found)
    record_property("table", table)
    header, rule, *rows = table.splitlines()
    assert (
        header.startswith("| tiny MLP, processes: 1 |")
        and header.count("|") == rule.count("|") == 6
    )
    for variant in variants:
        (row,) = (row for row in rows if variant in row)
        assert re.search(r" \| \d+\.\d\d \| [\d.]+ to [\d.]+ \| [+-]\d+ \| \d+\.\d\d \|$", row)
    assert len(rows) == len(variants)
    loop.draw_figure({"tiny MLP": found}, tmp_path / "loop.png")
    assert (tmp_path / "loop.png").stat().st_size > 0


def test_sections_are_renewed():
    text = bench.renew(bench.INTRODUCTION, "loop", "first\n")
    text = bench.renew(text, "startup", "other\n")
    again = bench.renew(text, "loop", r"second \1" + "\n")
    assert "first" in text and "first" not in again
    assert r"second \1" in again and again.index("second") < again.index("other")
    assert again.count("<!-- loop -->") == again.count("<!-- startup -->") == 1


def cells(table: str) -> list[list[str]]:
    """Return the cells of the rows of a Markdown table."""
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.full
def test_growth(monkeypatch):
    monkeypatch.setattr(growth, "GROWTH", (1, 2))
    for task in growth.CASES:
        case = growth.CASES[task]
        monkeypatch.setitem(growth.CASES, task, case._replace(number=max(700, case.number // 20)))
        rows = growth.grow_data(task)
        assert len(rows) == 2 and all(row.startswith(f"| `{task}` | ") for row in rows)
    monkeypatch.setattr(growth, "WIDTHS", (64,))
    assert len(growth.grow_model()) == 1


@pytest.mark.full
def test_other_sections(monkeypatch, tmp_path):
    monkeypatch.setattr(language, "STEPS", 16)
    monkeypatch.setattr(language, "FEWER_STEPS", 8)
    assert len(cells(language.get_section(seeds=1))) == 3
    monkeypatch.setattr(data, "PHOTO_SIZES", {(320, 240): 64})
    assert len(cells(data.get_section())) >= 3
    assert "imports" in startup.get_section(runs=1)
    assert len(cells(render.get_section(runs=1))) == 3
    monkeypatch.setattr(checkpoints, "MILLIONS", (1,))
    assert len(cells(checkpoints.get_section())) == 1
    work = loop.WORK["tiny MLP"]._replace(steps=3, epochs=3)
    monkeypatch.setattr(processes, "WORK", {"tiny MLP": work})
    assert "**rendered project**" in processes.get_section(runs=1)
