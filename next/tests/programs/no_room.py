

def forward(*_: object) -> None:
    """Fail as on a GPU without room; behind models.py of a project."""
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory.")


MLP.forward = forward  # noqa: F821
