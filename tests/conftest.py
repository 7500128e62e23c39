"""Fixtures that all tests share, and the summary at the end: tables and CPU minutes."""

import os
import shutil
from pathlib import Path

import pytest
from rendering import RAW_PROJECT, ROOT, Project, all_answers, render
from running import end_forks

try:
    import resource
except ImportError:  # Windows
    resource = None

collect_ignore = ["programs"]  # among them are the tests of a task that is added to a copy

# The tests train small models, which more threads only slow down. The last bits of a result also
# depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties if report.when == "call" else ():
                if name == "table":
                    terminalreporter.write_line(f"\n{value}")
    if resource:
        terminalreporter.write_line(f"\n{cpu_minutes():.1f} CPU minutes")
