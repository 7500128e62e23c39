"""The harness of the benchmarks; no test asserts a time."""

import re
import sys

from rendering import ROOT
from running import python

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench
import loop


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
