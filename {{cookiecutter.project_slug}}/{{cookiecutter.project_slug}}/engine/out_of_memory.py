"""Out of memory: what to type for a training that needs less of it."""

# {% if cookiecutter.distributed != "none" %}
import os
# {% endif %}
import shlex
import sys
from argparse import Namespace
from pathlib import Path

# How the message of an allocator begins, where the exception's class does not tell.
MESSAGES = ["CUDA out of memory", "CUDA error: out of memory", "HIP out of memory"]
MESSAGES += ["MPS backend out of memory", "DefaultCPUAllocator: can't allocate memory"]


def find_message(error: Exception) -> str:
    """Return the line that says that a device has no memory left, or an empty string."""
    lines = str(error).splitlines()
    for line in lines:
        if any(words in line for words in MESSAGES):
            return line.strip()
    if type(error).__name__ == "OutOfMemoryError":  # of torch, whatever the device
        return lines[0].strip() if lines else "out of memory"
    return ""


def get_remedy(args: Namespace | None) -> str:
    """Return what to do: type the same command, with more micro-batches in each batch.

    The steps of the training stay the same, so that a run with a checkpoint is resumed.
    """
    if args is None:  # not of a training
        return "Try fewer inputs, or a smaller --batch-size of predict.py"
    # {% if cookiecutter.distributed == "none" %}
    number = find_grad_accum(args.batch_size, args.grad_accum)
    # {% else %}
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    number = find_grad_accum(args.batch_size // processes, args.grad_accum)
    # {% endif %}
    if number == 0:
        option = "" if args.activation_checkpointing else "--activation-checkpointing, "
        return f"A micro-batch is one sample: try {option}smaller samples or a smaller model"
    words = [*remove(sys.argv[1:], "--grad-accum"), "--grad-accum", str(number)]
    run_dir = find_run_to_resume(args)
    if run_dir is not None:
        for flag in ("--run-dir", "--config"):  # a resume has its own options
            words = remove(words, flag)
        words = [word for word in words if word not in ("--resume", "--no-resume")]
        words += ["--resume", "--run-dir", str(run_dir)]
    # {% if cookiecutter.distributed != "none" %}
    if processes > 1:
        return f"Try torchrun ... main.py {shlex.join(words)}"  # as this run was started
    # {% endif %}
    return f"Try python main.py {shlex.join(words)}"


def find_grad_accum(samples: int, current: int) -> int:
    """Return the next number of micro-batches that divides so many samples.

    It is at least twice the current one, so that the activations need half the memory; 0 if there
    is none.
    """
    for number in range(2 * current, samples + 1):
        if samples % number == 0:
            return number
    return 0


def find_run_to_resume(args: Namespace) -> Path | None:
    """Return the run directory if it has a checkpoint, or was chosen and now holds a run."""
    run_dir: Path | None = args.run_dir
    if run_dir is None or args.evaluate or not (run_dir / "config.json").exists():
        return None
    is_chosen = any(word.partition("=")[0] == "--run-dir" for word in sys.argv)
    return run_dir if is_chosen or any(run_dir.glob("checkpoints/*.pt")) else None


def remove(words: list[str], flag: str) -> list[str]:
    """Return the words of a command without an option and its value."""
    kept = []
    is_value = False
    for word in words:
        if not is_value and word != flag and not word.startswith(f"{flag}="):
            kept.append(word)
        is_value = word == flag
    return kept
