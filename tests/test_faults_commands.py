"""Wrong command lines: exit code 2, one line that names the option or the file, nothing left."""

import json
import shlex
import sys

import pytest
from faults_commands import GROUPS, make_files
from faults_table import Report
from rendering import render
from running import FAST, PROGRAMS, python, run

QUICK = [*FAST, "--quick"]


def words_of(command: str) -> list[str]:
    """Return the words of a command line; `$'\\xff'` is a byte that is no UTF-8."""
    return [word.replace(r"$\xff", "\udcff") for word in shlex.split(command)]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes")
def test_wrong_command_lines(tmp_path, report_faults: Report, record_property):
    project = render({"logger": "none"}, tmp_path / "project")
    folder = tmp_path / "folder"
    folder.mkdir()
    make_files(folder)
    good = folder / "runs" / "good"
    run(project, *QUICK, "--run-dir", good)
    evaluate = ["--evaluate", good / "checkpoints" / "best.pt"]
    run(project, *evaluate, "--run-dir", folder / "runs" / "evaluation", "--quiet")
    commands = []
    for group in GROUPS.values():
        for command, part in group.items():
            words = words_of(command)
            if not {"--resume", "--evaluate", "--config", "--"} & set(words):
                words = [*QUICK, *words]
            commands.append([words, part])
    path = tmp_path / "commands.json"
    path.write_text(json.dumps(commands))
    program = PROGRAMS / "refuse_commands.py"
    out, _ = python(folder, program, path, PYTHONPATH=project)
    faults = json.loads(out.splitlines()[-1])
    for fault in faults:
        record_property("table", " | ".join(fault[1:]) + f": {fault[0]}")
    note = ", ".join(f"{len(group)} {name}" for name, group in GROUPS.items())
    report_faults("wrong command lines", len(commands), wrong=len(faults), note=note)
