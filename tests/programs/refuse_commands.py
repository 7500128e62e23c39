"""Types wrong command lines, all in this process: refuse_commands.py FILE, in a folder of files.

FILE is JSON, a list of pairs of a command line's words and of what its error must hold. Each has to
end with exit code 2 and one line, and to leave nothing. Prints, as JSON, those that do not.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from main import main
from my_project.engine.runtime import start
from my_project.engine.terminal import as_script
from my_project.utils import parse_arguments


def list_files() -> dict[str, tuple[int, int]]:
    """Return what this folder holds, with sizes and times; a lock that is held again may differ."""
    found = {}
    for path in Path().rglob("*"):
        if path.name != ".lock":
            status = path.lstat()
            found[str(path)] = (status.st_size if path.is_file() else 0, status.st_mode)
    return found


def type_words(words: list[str]) -> tuple[Any, str, str]:
    """Do what main.py does with these words; return the exit code and the printed texts."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            args = parse_arguments(words)
            with as_script(), start(args) as runtime:
                main(args, runtime)
        except SystemExit as ending:
            code = ending.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    return code, out.getvalue(), err.getvalue()


faults = []
before = list_files()
for words, part in json.loads(Path(sys.argv[1]).read_text()):
    code, out, err = type_words(words)
    lines = err.splitlines()
    good = code == 2 and lines and lines[-1].startswith("error: ") and part in lines[-1]
    good = good and all(line.startswith("warning: ") for line in lines[:-1])
    left = sorted(set(list_files().items()) ^ set(before.items()))
    if not good or left:
        faults.append([words, part, str(code), err[-500:], str(left[:3])])
        before = list_files()
print(json.dumps(faults))
