STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Runtime(Processes):
    """The device, the precision and the processes of this run, and the signals that end it."""

    def __init__(self, args: Namespace, resources: ExitStack):
        super().__init__(args)
        self.resources = resources  # what is put here is released when the run ends, however it ends
        self.device = find_device(args.device, self.local_rank)
        self.precision = find_precision(args.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.signal, self.signal_time = 0, 0.0
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.set_float32_matmul_precision("high")  # TF32
            torch.backends.cudnn.benchmark = not args.deterministic
        if args.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        if args.batch_size % (self.world_size * args.accumulation):
            parts = f"{self.world_size} process(es) and --accumulation {args.accumulation}"
            raise UserError(f"--batch-size {args.batch_size} cannot be divided by {parts}")
        self.connect(args)
        vars(args).update(vars(self.broadcast(args)))  # what rank 0 was told, and found in its files, holds for all

    def autocast(self) -> torch.autocast:
        """Run the forward pass in the chosen precision; does nothing in fp32."""
        dtype = {"fp16": torch.float16}.get(self.precision, torch.bfloat16)
        return torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32")

    def free_memory(self) -> int:
        """Bytes that the device has left for data."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        return torch.mps.recommended_max_memory() if self.device.type == "mps" else sys.maxsize

    def random_state(self) -> tuple[Tensor, Tensor | None]:
        """Return the states of this process's random generators, of the CPU and of the device."""
        accelerator = None if self.device.type == "cpu" else torch.get_device_module(self.device).get_rng_state()
        return torch.get_rng_state(), accelerator

    def set_random_state(self, state: tuple[Tensor, Tensor | None]) -> None:
        """Go on with the random numbers from where they were."""
        torch.set_rng_state(state[0])
        if state[1] is not None and self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(state[1])

    def catch_signals(self, before_stopping: Callable[[], None]) -> None:
        """From now on a request to stop waits for the end of a step, and calls `before_stopping` there."""
        self.before_stopping = before_stopping
        for number in STOP_SIGNALS:
            self.resources.callback(signal.signal, number, signal.signal(number, self.remember_signal))

    def remember_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signal and time.monotonic() > self.signal_time + 1:  # asked again by someone who cannot wait
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal, self.signal_time = number, time.monotonic()

    def stop_if_asked(self) -> None:
        """End all processes here if one of them was asked to stop; a good place is the end of a step."""
        number = self.stop_signal(self.signal)
        if number:
            self.before_stopping()
            self.close()
            sys.exit(128 + number)


def find_device(name: str, local_rank: int) -> torch.device:
    """Turn `--device` into this process's device; a device that is not there is an error, never a silent CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(kind for kind in available if available[kind]) if name == "auto" else name
    if not available[name]:
        raise UserError(f"--device {name}: this machine, or this build of torch, has none; use --device auto or cpu")
    if name == "cuda" and local_rank >= torch.cuda.device_count():
        raise UserError(f"{local_rank + 1} processes need as many GPUs here; there are {torch.cuda.device_count()}")
    return torch.device(f"cuda:{local_rank}" if name == "cuda" else name)


def find_precision(name: str, device: torch.device) -> str:
    """Turn `--precision` into fp32, bf16 or fp16; `auto` is bf16 on a GPU that computes in it, fp32 elsewhere."""
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    return name


@contextmanager
def start(args: Namespace) -> Iterator[Runtime]:
    """Open the runtime for a `with` block; end the errors and interruptions of a person with one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
    with ExitStack() as resources:
        try:
            runtime = Runtime(args, resources)
            yield runtime
            runtime.close()
        except UserError as error:
            message = str(error).rpartition("UserError: ")[2].strip()  # that of a worker comes behind its traceback
            print(f"error: {message}", file=sys.stderr)
            sys.exit(2)
        except torch.OutOfMemoryError as error:
            print(f"error: {str(error).splitlines()[0]} Try a smaller --batch-size, or --accumulation", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped before the first step", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
