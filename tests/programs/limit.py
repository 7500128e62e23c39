"""main.py with a limit of the machine: limit.py WHAT NUMBER OPTIONS...

WHAT is `descriptors`, at most NUMBER open files; `memory`, NUMBER MiB more than are in use now;
`worker`, which kills a DataLoader worker that reads its NUMBER-th image.
"""

import os
import resource
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

what, number = sys.argv[1], int(sys.argv[2])
sys.argv[1:] = sys.argv[3:]


def limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def kill_workers(images: int) -> None:
    """Let a process of this one's end, as the kernel ends it, at a number of images."""
    import my_project.engine.labelled_images as files

    parent, read_image, count = os.getpid(), files.read_image, 0

    def read_or_die(path: Path, size: int) -> Any:
        nonlocal count
        count += 1
        if os.getpid() != parent and count == images:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_image(path, size)

    files.read_image = read_or_die


if what == "worker":
    kill_workers(number)
else:
    if what == "descriptors":
        limit(resource.RLIMIT_NOFILE, number)
    else:
        (size,) = (
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmSize")
        )
        limit(resource.RLIMIT_AS, 1024 * int(size) + 2**20 * number)
runpy.run_path("main.py", run_name="__main__")
