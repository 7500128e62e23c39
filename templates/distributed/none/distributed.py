"""One process: the refusal of launchers that start several, and the state of a run."""

import os
from dataclasses import fields
from typing import Any

from torch import nn

from .errors import UserError


def check_launcher() -> None:
    """Raise UserError under a launcher that has started several processes."""
    for launcher, variable in (("torchrun", "WORLD_SIZE"), ("srun", "SLURM_STEP_NUM_TASKS")):
        if int(os.environ.get(variable) or 1) > 1:
            raise UserError(
                "this project trains in one process; start it with `python main.py`, "
                f"without {launcher}"
            )


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside torch.compile."""
    return getattr(model, "_orig_mod", model)


# {% include "distributed/state_dict.py" %}
