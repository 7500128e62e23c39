"""Device, precision, random states and signal handling."""

import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType
from typing import Any

import torch
from torch import Tensor

# {% if cookiecutter.distributed == "none" %}
from .distributed import check_launcher
# {% endif %}
from .errors import Stopped, UserError
from .gpus import explain_unused_gpu
# {% if cookiecutter.distributed != "none" %}
from .processes import Processes
# {% endif %}
# {% if cookiecutter.distributed == "none" %}
from .provenance import describe_start
# {% else %}
from .provenance import Start, describe_start
# {% endif %}
from .terminal import say

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")  # not every system has all of them


class Runtime:
    # {% if cookiecutter.distributed != "none" %}
    """The device, the precision and the process group of a run, and the signals that stop it."""
    # {% else %}
    """The device and the precision of a run, and the signals that stop it."""
    # {% endif %}

    def __init__(self, args: Namespace, resources: ExitStack):
        self.resources = resources  # closed when the run ends, however it ends
        # {% if cookiecutter.distributed == "none" %}
        check_launcher()
        self.device = find_device(args.device)
        warn_of_unused_gpu(args.device)
        # {% else %}
        self.processes = Processes(args)
        self.device = find_device(args.device, self.processes.local_rank)
        if self.processes.rank == 0:
            warn_of_unused_gpu(args.device)
        # {% endif %}
        self.precision = find_precision(args.precision, self.device)
        self.received = 0  # the first stop signal
        self.received_at = 0.0
        self.stopping = False  # since a stop signal has ended the training
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.set_float32_matmul_precision("high")  # TF32
            torch.backends.cudnn.benchmark = not args.deterministic
        if args.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        # {% if cookiecutter.distributed != "none" %}
        self.processes.connect(self.device)
        vars(args).update(vars(self.processes.broadcast(args)))  # rank 0's options are everyone's
        # {% endif %}
        # {% if cookiecutter.distributed == "none" %}
        self.start = describe_start()  # for run.json
        # {% else %}
        self.start: Start = {}  # for run.json, which rank 0 writes
        if self.processes.rank == 0:
            self.start = describe_start()
        # {% endif %}

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that computes in the chosen precision; it does nothing in fp32."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype)

    def free_memory(self) -> int:
        """Return the bytes that the device has left for data."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        if self.device.type == "mps":
            return torch.mps.recommended_max_memory()
        return sys.maxsize

    def get_random_state(self) -> tuple[Tensor, Tensor | None]:
        """Return the states of the random generators of the CPU and the device."""
        if self.device.type == "cpu":
            return torch.get_rng_state(), None
        return torch.get_rng_state(), torch.get_device_module(self.device).get_rng_state()

    def set_random_state(self, state: tuple[Tensor, Tensor | None]) -> None:
        """Continue with the random numbers of a saved state."""
        cpu_state, device_state = state
        torch.set_rng_state(cpu_state)
        if device_state is not None and self.device.type != "cpu":
            device = torch.get_device_module(self.device)
            if len(device_state) == len(device.get_rng_state()):  # of the same kind of device
                device.set_rng_state(device_state)

    def catch_signals(self) -> None:
        """Let a stop signal end the run after the current step, and a second one at once.

        SIGHUP, if it tells that the terminal was closed, ends nothing. In a thread, signals are the
        business of the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        in_terminal = any(os.isatty(number) for number in range(3))
        for name in STOP_SIGNALS:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:  # as nohup does
                continue
            handler: Any = self.receive_signal
            if name == "SIGHUP" and in_terminal:
                handler = signal.SIG_IGN
            self.resources.callback(signal.signal, number, signal.signal(number, handler))

    def receive_signal(self, number: int, _frame: FrameType | None) -> None:
        """Remember a stop signal; a second one ends the run at once.

        Two within a second are one: a launcher passes on the terminal's own.
        """
        if not self.received:
            self.received = number
            self.received_at = time.monotonic()
        elif time.monotonic() > self.received_at + 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def check_stop(self) -> None:
        # {% if cookiecutter.distributed != "none" %}
        """Raise Stopped after a stop signal to any process, on all ranks at the same step."""
        number = self.processes.agree_on_signal(self.received)
        # {% else %}
        """Raise Stopped after a stop signal."""
        number = self.received
        # {% endif %}
        if number:
            self.stopping = True
            raise Stopped(number)


# {% if cookiecutter.distributed == "none" %}
def find_device(name: str) -> torch.device:
    """Return the device that --device names.

    Raises UserError if there is none: never a silent CPU.
    """
# {% else %}
def find_device(name: str, local_rank: int) -> torch.device:
    """Return this process's device of --device.

    Raises UserError if there is none: never a silent CPU.
    """
# {% endif %}
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind in available if available[kind])
    if not available[name]:
        reason = "this machine, or this build of torch, has none; use --device auto or cpu"
        if name == "cuda":
            reason = explain_unused_gpu() or reason
        raise UserError(f"--device {name}: {reason}")
    # {% if cookiecutter.distributed != "none" %}
    if name == "cuda":
        gpus = torch.cuda.device_count()
        if local_rank >= gpus:
            raise UserError(f"{local_rank + 1} processes need as many GPUs here; there are {gpus}")
        return torch.device(f"cuda:{local_rank}")
    # {% endif %}
    return torch.device(name)


def warn_of_unused_gpu(name: str) -> None:
    """Warn of an NVIDIA GPU that cannot be used, unless --device is the CPU."""
    reason = "" if name == "cpu" else explain_unused_gpu()
    if reason:
        say(f"warning: {reason}", sys.stderr)


def find_precision(name: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16; `auto` is bf16 on a GPU that computes in it, fp32 elsewhere."""
    if name == "auto":
        if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp32"
    if name == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    return name


@contextmanager
def start(args: Namespace) -> Iterator[Runtime]:
    # {% if cookiecutter.distributed == "none" %}
    """Open the runtime for a `with` block, and let go of what the run holds at its end."""
    with ExitStack() as resources:
        yield Runtime(args, resources)
    # {% else %}
    """Open the runtime for a `with` block; let go of what the run holds, and of its processes."""
    with ExitStack() as resources:
        runtime = Runtime(args, resources)
        try:
            yield runtime
        except Stopped:  # on all ranks
            runtime.processes.close()
            raise
        runtime.processes.close()
    # {% endif %}
