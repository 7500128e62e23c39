"""Prints what sweep.py prints to stderr, and its exit code, for each of some command lines."""

import contextlib
import io
import json
import sys

from my_project.engine.terminal import as_script
from sweep import main, parse_command

results = []
for words in json.loads(sys.argv[1]):
    errors = io.StringIO()
    code = 0
    with contextlib.redirect_stderr(errors):
        try:
            args = parse_command(words)
            with as_script(), contextlib.ExitStack() as resources:
                code = main(args, resources)
        except SystemExit as end:
            code = end.code
    results.append([code, errors.getvalue()])
print(json.dumps(results))
