"""A trace of some training steps, and the peak memory of a run."""

import sys
from pathlib import Path

import torch


def start_profiler(path: Path, steps: int) -> torch.profiler.profile:
    """Start to trace some of the next `steps` steps into a file for https://ui.perfetto.dev."""
    warmup = min(3, steps // 2)
    profiler = torch.profiler.profile(
        schedule=torch.profiler.schedule(
            wait=0, warmup=warmup, active=max(1, min(6, steps - warmup)), repeat=1
        ),
        on_trace_ready=lambda traced: traced.export_chrome_trace(str(path)),
    )
    profiler.start()
    return profiler


def peak_memory(device: torch.device) -> tuple[int, str]:
    """Return the largest number of bytes in use, of the GPU or else of the main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "GPU memory"
    if sys.platform == "win32":
        return 0, "main memory (not measured on Windows)"
    import resource  # Windows has no such module

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "main memory"
