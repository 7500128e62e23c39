"""main.py with a tracker that fails: break_tracker.py HOW WHAT SECONDS OPTIONS...

HOW is `raise` or `hang`, WHAT a method of Tracker; or HOW is `lack`, WHAT a package. SECONDS is the
longest wait for the tracker; 0 leaves it as it is.
"""

import os
import runpy
import sys
import threading
import time
from typing import Any

sys.path.insert(0, os.getcwd())
from my_project.engine import background


def fail(*_: Any) -> None:
    raise OSError("no more")


def hang(*_: Any) -> None:
    # Python waits for a thread that is no daemon, and packages have such threads.
    threading.Thread(target=sleep).start()
    sleep()


def sleep() -> None:
    while True:
        time.sleep(1)


how, what, seconds, *options = sys.argv[1:]
if how == "lack":
    sys.modules[what] = None
else:
    setattr(background.Tracker, what, {"raise": fail, "hang": hang}[how])
if float(seconds):
    finish = background.BackgroundTracker.finish
    background.BackgroundTracker.finish = lambda self, _: finish(self, float(seconds))
sys.argv = ["main.py", *options]
runpy.run_path("main.py", run_name="__main__")
