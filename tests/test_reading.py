"""The reading budget: how much one has to read to follow a rendered project."""

import itertools
import re
import sys
from pathlib import Path

import pytest
from rendering import CHOICES, ROOT, render

sys.path.insert(0, str(ROOT / "benchmarks"))

import reading

ONLY_DEFAULT = "lines of code in edited files"  # a limit for the default project alone


def get_excess(figures: dict[str, reading.Figure]) -> dict[str, reading.Figure]:
    """Return the figures over their limits."""
    excess = {}
    for name, figure in figures.items():
        if reading.exceeds(name, figure):
            excess[name] = figure
    return excess


def test_default_project(default_project, tmp_path, record_property):
    project = render({}, tmp_path)  # it is run
    figures = reading.measure(project)
    record_property("table", reading.format_table(figures))
    assert figures.keys() == reading.TABLE.keys()
    assert get_excess(figures) == {}


def test_every_task_and_backend(tmp_path, record_property):
    """Measure the files of all projects; the table has the worst figures."""
    worst: dict[str, reading.Figure] = {}
    for task, backend in itertools.product(CHOICES["task"], CHOICES["distributed"]):
        project = render({"task": task, "distributed": backend}, tmp_path / f"{task}_{backend}")
        for name, figure in reading.measure_text(project).items():
            place = f"{task}, {backend}: {figure.place}"
            worst[name] = max(worst.get(name, reading.Figure(-1)), figure._replace(place=place))
    record_property("table", reading.format_table(worst))
    excess = get_excess(worst)
    excess.pop(ONLY_DEFAULT, None)
    assert excess == {}


@pytest.mark.full
@pytest.mark.parametrize("task", CHOICES["task"])
def test_hops_and_options(tmp_path, task):
    """Run each task, with the backend that has the most code.

    A data set may be one hop further away than in the default project: if several data sets become
    tensors in the same way, one function is better than a copy in each of them.
    """
    project = render({"task": task, "distributed": "fsdp"}, tmp_path)
    excess = get_excess(reading.measure_hops(project))
    assert excess.pop("hops to a data set", reading.Figure(0)).value <= 3
    assert excess == {}
    assert get_excess(reading.measure_options(project)) == {}


def test_line_length_of_the_template():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^line-length = (\d+)", settings, re.MULTILINE) == ["100"]


# ----------------------------------------------------------------------------- the measurement


@pytest.fixture
def source(tmp_path: Path) -> reading.Source:
    path = tmp_path / "example.py"
    path.write_text(EXAMPLE)
    return reading.Source(path)


def test_lines_of_code(source):
    assert source.code == 20


def test_functions(source):
    figures = reading.measure_functions([source])
    assert figures["lines of the longest function"] == (14, "example.py: longest")
    assert figures["arguments of a function"] == (3, "example.py: method")
    assert figures["arguments of train_one_epoch"] == (2, "example.py: train_one_epoch")
    assert figures["option groups in a function"] == (2, "example.py: longest")


def test_dense_expressions(source):
    assert reading.count_dense([source]) == (7, 1)


def test_depth(source):
    assert reading.get_depth(source.tree) == 2


EXAMPLE = '''
"""A docstring of two
lines."""

import os


class Class:
    """A docstring."""

    def method(self, one, *rest, two=2, three=3, **others):
        return [two for _ in rest]  # 1 comprehension


def train_one_epoch(args, runtime): ...


def longest(parser):
    """A docstring."""
    a, b = 1, 2  # 1 multiple assignment
    c = d = 3  # 1 more
    e, f = os.path.split("a")  # unpacking
    # a comment

    g = parser.add_argument_group("one")
    g = parser.add_argument_group("two")
    if a:
        h = list(map(str, [lambda: 1 if b else 2]))  # map, lambda, conditional expression
    elif b:
        while c:
            pass

    def nested(): ...


LONG = """
in two lines
"""
'''
