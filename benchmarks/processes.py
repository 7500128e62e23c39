"""Two processes under torchrun: the rendered project beside a bare loop with DDP.

    python benchmarks/processes.py [runs]

As in `loop.py`, a burst of the bare loop precedes every epoch, in the same two processes; each
takes half of every batch, on one thread. Then the project trains in one process.
"""

import sys

from loop import draw_table, measure, median_of
from loop_work import BATCH, WORK

VARIANTS = ("bare again: the control", "rendered project")
TEXT = """The rendered project of the default answers, trained by
`torchrun --nproc-per-node 2 main.py`, beside a bare loop with DistributedDataParallel and a
DistributedSampler in the same two processes, which exchange gradients by Gloo. The batch of {batch}
is divided over both.
"""


def get_section(runs: int = 3) -> str:
    """Measure both models, and return Markdown tables."""
    text = TEXT.format(batch=BATCH)
    for name, work in WORK.items():
        found = measure(name, VARIANTS, runs, work.steps, work.epochs, processes=2)
        alone = measure(name, VARIANTS[1:], runs, work.steps, work.epochs)
        text += f"\n{draw_table(name, found)}"
        project = VARIANTS[1]
        share = median_of(found[project], "time") / median_of(alone[project], "time")
        text += f"\nTwo processes take {share:.2f} of one process's time on the wall.\n"
    return text


if __name__ == "__main__":
    print(get_section(*map(int, sys.argv[1:])), end="")
