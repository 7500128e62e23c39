"""Python programs in forks of this process, which has imported what is slow to import.

Each line of standard input is a task in JSON, and is answered with a line. A `command`, what
`python` would be given, starts a process, whose id is the answer; the answer to `wait` is the exit
codes of the processes that it lists. If one of these fails, the others are killed, as torchrun
does. `poll` asks for the exit code of one that may still run.
"""

import importlib
import json
import os
import runpy
import signal
import sys
from typing import Any

SLOW = ["filelock", "matplotlib.figure", "sklearn.datasets", "torch.distributed.fsdp"]
SLOW += ["torch.distributed.checkpoint.state_dict", "torchmetrics", "torchvision", "tqdm"]

ended: dict[int, int] = {}  # exit codes of processes that were waited for by accident


def serve() -> dict[str, Any]:
    """Answer until the input ends; return, in a fork, what that has to run."""
    for line in sys.stdin:
        task = json.loads(line)
        if "poll" in task:
            answer: Any = poll(task["poll"])
        elif "wait" in task:
            answer = wait(task["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                return task
        print(json.dumps(answer), flush=True)
    sys.exit()


def poll(process: int) -> int | None:
    """Return the exit code of a process that has ended, or None."""
    if process not in ended:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            ended[found] = os.waitstatus_to_exitcode(status)
    return ended.get(process)


def wait(processes: list[int]) -> list[int]:
    """Return the exit codes of processes; the first that fails ends the others."""
    while not ended.keys() >= set(processes):
        found, status = os.wait()
        ended[found] = os.waitstatus_to_exitcode(status)
        if found in processes and ended[found]:
            for other in set(processes) - ended.keys():
                os.kill(other, signal.SIGKILL)
    return [ended.pop(process) for process in processes]


def become(
    folder: str, command: list[str], environment: dict[str, str], out: str, err: str
) -> None:
    """Turn this process into one that `python` was started for, with the words in `command`."""
    for number, path in enumerate([os.devnull, out, err]):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
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
