class Dashboard:
    """Calls the tracker in a thread of its own: one that fails, waits or hangs never holds up the training."""

    def __init__(self, folder: Path, options: dict[str, Any], step: int):
        self.calls: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.thread = threading.Thread(target=self.work, args=(folder, options, step), daemon=True)
        self.thread.start()

    def work(self, *options: Any) -> None:
        try:
            tracker = Tracker(*options)
            while True:
                method, *arguments = self.calls.get()
                getattr(tracker, method)(*arguments)
                if method == "finish":
                    return
        except Exception as error:
            print(f"warning: the logger failed; the run goes on without it: {error!r}", file=sys.stderr)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.calls.put(("scalars", step, values))

    def picture(self, step: int, name: str, path: Path) -> None:
        self.calls.put(("picture", step, name, path))

    def finish(self, seconds: float = 30) -> None:
        self.calls.put(("finish",))
        self.thread.join(seconds)
        if self.thread.is_alive():
            print(f"warning: the logger was not done {seconds} s after the end and was left", file=sys.stderr)
