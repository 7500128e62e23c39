"""Call paths from `main()` of a rendered project to the lines that do the work.

`python hops.py RESULT.json`, in the project's folder, runs main.py three times in one process (a
quick training, `--resume`, `--evaluate`) and writes, for each of these lines, the functions of the
project between `main()` and it. Only the main thread counts, so a tracker's thread does not.
"""

import json
import runpy
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils.data import Dataset

PROJECT = Path.cwd().resolve()
DATASET_FOLDERS = (str(PROJECT), str(Path(torch.utils.data.__file__).parent))
NAMES = {"save", "load", "__init__", "forward", "backward", "put", "put_nowait"}
NO_FUNCTIONS = {"<listcomp>", "<setcomp>", "<dictcomp>"}  # frames until Python 3.11
SHORTEST = {"forward", "backward"}  # of the others, the longest path counts

paths: dict[str, list[str]] = {}


def note(key: str, frame: FrameType | None) -> None:
    """Keep the path from main() to `frame`; a frame that main() has not called is ignored."""
    names = []
    while frame is not None:
        code = frame.f_code
        path = Path(code.co_filename)
        if path.is_relative_to(PROJECT):
            if code.co_name == "main" and path.name == "main.py":
                break
            if code.co_name not in NO_FUNCTIONS:
                names.append(f"{path.stem}.{code.co_name}")
        frame = frame.f_back
    else:
        return
    old = paths.get(key)
    shorter = old is not None and len(names) < len(old)
    if old is None or (len(names) != len(old) and shorter == (key in SHORTEST)):
        paths[key] = names[::-1]


def is_dataset(frame: FrameType) -> bool:
    """Return whether `frame` is the outermost constructor of a data set."""
    if not frame.f_code.co_filename.startswith(DATASET_FOLDERS):
        return False
    owner = frame.f_locals.get("self")
    if not isinstance(owner, Dataset) and type(owner).__name__ != "InMemory":
        return False
    caller = frame.f_back
    return caller is None or caller.f_locals.get("self") is not owner


def watch(frame: FrameType, event: str, arg: Any) -> None:
    """Note the calls of interest; see `sys.setprofile`."""
    if event == "call":
        name = frame.f_code.co_name
        if name not in NAMES:
            return
        file = frame.f_code.co_filename
        if name in ("save", "load") and file == torch.serialization.__file__:
            note(f"torch.{name}", frame.f_back)
        elif name == "__init__" and is_dataset(frame):
            note("a data set", frame.f_back)
        elif name == "forward" and file.endswith("models.py"):
            note("forward", frame.f_back)
        elif name == "backward" and file.endswith("_tensor.py"):
            note("backward", frame.f_back)
        elif name.startswith("put") and file.endswith("queue.py"):
            note("the tracker's queue", frame.f_back)
    elif event == "c_call":
        if arg.__name__ == "write" and "metrics.jsonl" in str(getattr(arg.__self__, "name", "")):
            note("a scalar's write", frame)
        elif arg.__name__ == "put" and type(arg.__self__).__name__ == "SimpleQueue":
            note("the tracker's queue", frame)


def watch_files(event: str, args: tuple[Any, ...]) -> None:
    """Note that a record is appended to metrics.jsonl; see `sys.addaudithook`."""
    if event == "open" and "metrics.jsonl" in str(args[0]) and "a" in str(args[1]):
        note("a scalar's write", sys._getframe(1))


def run(*options: object) -> None:
    """Run main.py with these options, and watch it."""
    sys.argv = ["main.py", "--device", "cpu", *map(str, options)]
    sys.setprofile(watch)
    try:
        runpy.run_path(str(PROJECT / "main.py"), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)


def main(result: str) -> None:
    """Watch three runs, and write the paths that were taken."""
    sys.path.insert(0, str(PROJECT))
    runpy.run_path(str(PROJECT / "main.py"))  # imports what main.py needs, unwatched
    sys.addaudithook(watch_files)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder, "run")
        run("--quick", "--log-every", 1, "--save-every", 2, "--run-dir", run_dir)
        run("--resume", "--run-dir", run_dir)
        weights = run_dir / "checkpoints" / "best.pt"
        run("--evaluate", weights, "--run-dir", Path(folder, "evaluation"))
    Path(result).write_text(json.dumps(paths, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
