"""Prints what to type after an error of memory, for the options of each argument."""

import shlex
import sys

from my_project.engine.out_of_memory import find_message, get_remedy
from my_project.utils import parse_arguments

for error in (
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    RuntimeError("CUDA error: out of memory\nMore lines."),
    RuntimeError("another error"),
):
    print(find_message(error))
cases = sys.argv[1:]
for words in cases:
    sys.argv = ["main.py", *shlex.split(words)]
    print(get_remedy(parse_arguments(sys.argv[1:])))
