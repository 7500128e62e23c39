"""What all tests share: a private cookiecutter configuration, and the projects to look at."""

import os
import shutil
from pathlib import Path

import pytest
from rendering import RAW_PROJECT, Project, all_answers, render

# The tests train small models, which more threads only slow down; and the last bits of a result go by their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cookiecutter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep cookiecutter, in this process and in others, away from the user's own configuration and replay files."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    config = folder / "config.yaml"
    config.write_text(f"cookiecutters_dir: {folder / 'templates'}\nreplay_dir: {folder / 'replay'}\n")
    os.environ["COOKIECUTTER_CONFIG"] = str(config)
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_caches() -> None:
    """Remove what tools may have left among the raw files: a template that is used from its folder renders it, too."""
    for cache in [*RAW_PROJECT.rglob("__pycache__"), *RAW_PROJECT.rglob(".*_cache")]:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture(scope="session")
def default_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of a user who accepts every default. Read it, but write nothing into it."""
    return Project({}, render({}, tmp_path_factory.mktemp("default"), hooks=True))


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> list[Project]:
    """One project for every combination of choices. Read them, but write nothing into them."""
    folder = tmp_path_factory.mktemp("product")
    return [Project(answers, render(answers, folder / str(number))) for number, answers in enumerate(all_answers())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables that tests have recorded, also those of tests that passed."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties if report.when == "call" else ():
                if name == "table":
                    terminalreporter.write_line(f"\n{value}")
