"""Compares the weights of two checkpoints, sharded ones too: compare_weights.py ONE OTHER."""

import sys

from my_project.utils import load_model

(one, _), (other, _) = (load_model(path) for path in sys.argv[1:])
others = other.state_dict()
same = all(tensor.equal(others[name]) for name, tensor in one.state_dict().items())
print("equal" if same else "different")
