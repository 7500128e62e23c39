# {% if false %}
from dataclasses import fields
from typing import Any

from torch import nn

from .ddp.distributed import unwrap
# {% endif %}
def get_state_dict(state: Any) -> dict[str, Any]:
    """Return the fields of a TrainState, by their state_dict if they have one."""
    saved = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, nn.Module):
            value = unwrap(value)
        saved[field.name] = value.state_dict() if hasattr(value, "state_dict") else value
    return saved


def set_state_dict(state: Any, saved: dict[str, Any]) -> None:
    """Load the fields of a TrainState."""
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, nn.Module):
            value = unwrap(value)
        if hasattr(value, "load_state_dict"):
            value.load_state_dict(saved[field.name])
        else:
            setattr(state, field.name, saved[field.name])


def set_weights(model: nn.Module, saved: dict[str, Any], strict: bool = True) -> None:
    """Load the weights of a checkpoint that were evaluated: averaged ones if there are any.

    If not `strict`, some may be missing.
    """
    unwrap(model).load_state_dict(saved["ema_model"], strict=strict)
