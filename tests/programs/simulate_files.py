"""main.py on a file system that lacks something: simulate_files.py WHAT ERRNO OPTIONS...

WHAT is `fsync`, which then fails for folders, or `flock`; ERRNO is the name of the error.
"""

import errno
import fcntl
import os
import runpy
import stat
import sys
from typing import Any

what, number = sys.argv[1], getattr(errno, sys.argv[2])
fsync = os.fsync


def fsync_of_files_alone(file: int) -> None:
    if stat.S_ISDIR(os.fstat(file).st_mode):
        raise OSError(number, os.strerror(number))
    fsync(file)


def no_flock(*_: Any) -> None:
    raise OSError(number, os.strerror(number))


if what == "fsync":
    os.fsync = fsync_of_files_alone
else:
    fcntl.flock = no_flock
sys.argv[1:] = sys.argv[3:]
runpy.run_path("main.py", run_name="__main__")
