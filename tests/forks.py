"""Runs Python programs in forks of this process, which has imported what is slow to import: each starts at once.

Each line of standard input is a task in JSON, and is answered with a line. A `command`, what `python` would be given,
starts a process, whose id is the answer; the answer to `wait` is the exit codes of the processes that it lists. When
one of these fails, the others are killed, as torchrun does. `poll` asks for the exit code of one that may still run.
"""

import importlib
import json
import os
import runpy
import signal
import sys
from typing import Any

SLOW = ["matplotlib.figure", "sklearn.datasets", "torch.distributed.checkpoint.state_dict", "torch.distributed.fsdp"]
SLOW += ["torchmetrics", "torchvision", "tqdm"]


def serve() -> dict[str, Any]:
    """Answer until the input ends; return, in a fork, what that has to run."""
    ended: dict[int, int] = {}
    for line in sys.stdin:
        task = json.loads(line)
        if "poll" in task:
            pid, status = (0, 0) if task["poll"] in ended else os.waitpid(task["poll"], os.WNOHANG)
            ended |= {pid: os.waitstatus_to_exitcode(status)} if pid else {}
            print(json.dumps(ended.get(task["poll"])), flush=True)
        elif "wait" in task:
            while not ended.keys() >= set(task["wait"]):
                pid, status = os.wait()
                ended[pid] = os.waitstatus_to_exitcode(status)
                if pid in task["wait"] and ended[pid]:
                    for other in set(task["wait"]) - ended.keys():
                        os.kill(other, signal.SIGKILL)
            print(json.dumps([ended.pop(pid) for pid in task["wait"]]), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            return task
    sys.exit()


def become(folder: str, command: list[str], environment: dict[str, str], out: str, err: str) -> None:
    """Turn this process into one that `python` was started for, with the arguments in `command`."""
    for number, path in enumerate([os.devnull, out, err]):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    for name in SLOW:  # nothing is computed, as threads would not survive in a fork
        importlib.import_module(name)
    become(**serve())
