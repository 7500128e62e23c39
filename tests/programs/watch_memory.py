"""Runs main.py of a project, and prints how much memory it takes beyond its imports.

`python watch_memory.py OPTIONS...`, in a project, on Linux: the last line is the largest RssAnon
during the run less that after the imports, in MiB. Pages of mapped files are not counted.
"""

import re
import sys
import threading
from pathlib import Path

import matplotlib.figure  # noqa: F401  (slow imports that a run makes late)
import tokenizers  # noqa: F401
import torchmetrics.text  # noqa: F401
from main import main
from my_project.engine.runtime import start
from my_project.utils import parse_arguments


def measure() -> int:
    """Return the bytes of memory of this process that are no pages of files."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"RssAnon:\s+(\d+) kB", text)[0])


def watch(ended: threading.Event, peaks: list[int]) -> None:
    """Keep the largest value until the run has ended."""
    while not ended.wait(0.005):
        peaks[0] = max(peaks[0], measure())


args = parse_arguments(sys.argv[1:])
before = measure()
peaks = [before]
ended = threading.Event()
thread = threading.Thread(target=watch, args=(ended, peaks))
thread.start()
try:
    with start(args) as runtime:
        main(args, runtime)
finally:
    ended.set()
    thread.join()
print(f"{(peaks[0] - before) / 2**20:.0f}")
