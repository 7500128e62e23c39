"""Fixtures that all tests share, and the summary at the end: tables and CPU minutes."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_table import Report, Row, draw_table, replace_table
from rendering import RAW_PROJECT, ROOT, Project, all_answers, render
from running import end_forks

try:
    import resource
except ImportError:  # Windows
    resource = None

FAULTS = ROOT / "docs" / "faults.md"

collect_ignore = ["programs"]  # among them are the tests of a task that is added to a copy

# The tests train small models, which more threads only slow down. The last bits of a result also
# depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts pytest in the background lets it, and what it starts, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cookiecutter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep cookiecutter away from the user's own configuration and replay files."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    config = folder / "config.yaml"
    config.write_text(
        f"cookiecutters_dir: {folder / 'templates'}\nreplay_dir: {folder / 'replay'}\n"
    )
    os.environ["COOKIECUTTER_CONFIG"] = str(config)
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_caches() -> None:
    """Remove the caches of tools among the raw files, which would be rendered as well."""
    for folder in [RAW_PROJECT, ROOT / "templates"]:
        for cache in [*folder.rglob("__pycache__"), *folder.rglob(".*_cache")]:
            shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture(scope="session")
def default_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of a user who accepts every default. Read it, but write nothing into it."""
    return Project({}, render({}, tmp_path_factory.mktemp("default"), hooks=True))


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> list[Project]:
    """One project for every combination of choices. Read them, but write nothing into them."""
    folder = tmp_path_factory.mktemp("product")
    projects = []
    for number, answers in enumerate(all_answers()):
        projects.append(Project(answers, render(answers, folder / str(number))))
    return projects


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of mypy, which takes long to read torch: its tests are in the group "product"."""
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def report_faults(record_property: Callable[[str, object], None]) -> Report:
    """Add a row to the table of injected faults; fail if one was lost, wrong or hung."""

    def report(
        kind: str, injected: int, lost: int = 0, wrong: int = 0, hung: int = 0, note: str = ""
    ) -> None:
        record_property("faults", [kind, injected, lost, wrong, hung, note])
        assert injected and not (lost or wrong or hung), (kind, injected, lost, wrong, hung)

    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", action="store_true", help=f"write the table of faults to {FAULTS}")


def cpu_minutes() -> float:
    """Return the CPU time of this process and of those it has waited for, xdist's workers too."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        seconds += usage.ru_utime + usage.ru_stime
    return seconds / 60


def pytest_sessionfinish() -> None:
    """End what runs beside the tests, so that its CPU time counts."""
    end_forks()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables that tests recorded, also those of tests that passed, and the CPU minutes."""
    reports = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", None) == "call":
                reports.append(report)
    rows = []
    for report in sorted(reports, key=lambda report: report.location[:2]):
        for name, value in report.user_properties:
            if name == "table":
                terminalreporter.write_line(f"\n{value}")
            if name == "faults":
                rows.append(Row(*value))
    if rows:
        terminalreporter.write_line("\n" + draw_table(rows))
    if terminalreporter.config.getoption("table"):
        replace_table(FAULTS, "faults", draw_table(rows))
    if resource:
        terminalreporter.write_line(f"\n{cpu_minutes():.1f} CPU minutes")
