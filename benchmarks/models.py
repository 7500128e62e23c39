"""The default model of each task: its size, its work, and the memory of a training step.

    python benchmarks/models.py [TASK ...]

prints a Markdown table. All of it is counted, not timed, in fp32 on the CPU, for a batch of the
default size of the built-in data.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORK = Path(__file__).with_name("model_work.py")
sys.path.insert(0, str(ROOT / "tests"))

from rendering import CHOICES, render  # noqa: E402

HEADER = (
    "task | default model | parameters | batch | MFLOP per sample, forward | GFLOP per step"
    " | memory of a step, MiB | of it weights and AdamW's state"
)
NOTE = """
Operations are those of matrix products and convolutions, a multiplication and an addition being two
(`torch.utils.flop_counter`). The memory is the peak of all tensors of a training step but its batch
(`MemTracker` of `torch.distributed`): the rest are activations, gradients and intermediate values.
"""


def count(task: str) -> dict[str, Any]:
    """Return what `model_work.py` counts in a project of a task."""
    with tempfile.TemporaryDirectory() as folder:
        project = render({"task": task, "distributed": "none", "logger": "none"}, Path(folder))
        environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(WORK)]
        result = subprocess.run(
            command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(result.stdout)


def get_section(*tasks: str) -> str:
    """Count for all tasks or some, and return a Markdown table."""
    lines = [f"| {HEADER} |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for task in tasks or CHOICES["task"]:
        found = count(task)
        lasting = found["Parameter"] + found["Buffer"] + found["Optstate"]
        cells = [
            f"`{task}`",
            f"`{found['model']}`",
            f"{found['parameters']:,}",
            f"{found['batch']}",
            f"{found['forward'] / found['batch'] / 1e6:.3g}",
            f"{found['step'] / 1e9:.3g}",
            f"{found['peak'] / 2**20:.1f}",
            f"{lasting / 2**20:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" + NOTE


if __name__ == "__main__":
    print(get_section(*sys.argv[1:]), end="")
