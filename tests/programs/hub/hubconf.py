"""A repository for torch.hub, whose modules have the names of many others."""

from models import Net
from utils import scale

dependencies = ["torch"]


def net(**settings: int) -> Net:
    """Return a small network."""
    return scale(Net(**settings), factor=2)
