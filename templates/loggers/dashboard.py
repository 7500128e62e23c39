"""Hands what is to be seen of a run to the logger, and never waits for it.

`writer.py` is what speaks to the logger's package.
"""

import json
import os
import queue
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from matplotlib.image import imread

from writer import Writer


class Dashboard:
    """Calls the writer in a thread of its own: one that fails, waits or hangs never holds up the training.

    A resumed run tells all its records again, from the first one; the writer gets those that it has not had yet.
    """

    def __init__(self, folder: Path, options: dict[str, Any]):
        self.calls: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
        self.key = ""  # of the last record
        self.room = threading.Semaphore(20)  # for pictures that wait: a logger that hangs must not fill the memory
        self.thread = threading.Thread(target=self.work, args=(folder, options), daemon=True)
        self.thread.start()

    def work(self, folder: Path, options: dict[str, Any]) -> None:
        try:
            path = folder / "logger_id.txt"
            if not path.exists():
                path.write_text(uuid.uuid4().hex, encoding="utf-8")
            plain = json.loads(json.dumps(options, default=str))  # numbers, texts, booleans and None
            writer = Writer(folder, plain, path.read_text(encoding="utf-8"))
            name, mode = ("logger_records.txt", "a+") if writer.appends else ("logger_records_offline.txt", "w+")
            with (folder / name).open(mode, encoding="utf-8") as file:
                file.seek(0)
                taken = set(file.read().splitlines())
                for key, method, *arguments in iter(self.calls.get, None):
                    if key not in taken:
                        print(key, file=file, flush=True)  # first: killed here, it rather misses one than has it twice
                        getattr(writer, method)(*arguments)
                    if method == "picture":
                        self.room.release()
            writer.finish()
        except ModuleNotFoundError as error:
            package = str(error.name).split(".")[0]
            warn(f"the logger needs a package, the run goes on without it: pip install {package}")
        except (Exception, SystemExit) as error:
            warn(f"the logger failed, the run goes on without it: {' '.join(repr(error).split())}")

    def call(self, key: str, method: str, *arguments: Any) -> None:
        if self.thread.is_alive():
            self.calls.put((key, method, *arguments))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.key = f"{step} {' '.join(sorted(values))}"
        self.call(self.key, "scalars", step, values)

    def picture(self, step: int, name: str, path: Path) -> None:
        if self.room.acquire(blocking=False):
            image = (255 * imread(path)[..., :3]).round().astype("uint8")  # (height, width, RGB)
            self.call(f"{self.key} {name}", "picture", step, name, image)

    def finish(self, seconds: float = 30) -> None:
        """Wait for the writer; also where its package has threads and exit handlers that hang, the process ends."""
        self.calls.put(None)
        self.thread.join(seconds)
        if self.thread.is_alive():
            warn(f"the logger was not done {seconds} s after the end, and was left")
        error = sys.exc_info()[1]
        code = error.code if isinstance(error, SystemExit) else int(error is not None)
        threading.Thread(target=leave, args=(code,), daemon=True).start()


def leave(code: Any, seconds: float = 10) -> None:
    """End the process some seconds after its main thread."""
    threading.main_thread().join()
    time.sleep(seconds)
    os._exit(code if isinstance(code, int) else 1)


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
