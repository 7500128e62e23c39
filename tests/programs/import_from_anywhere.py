"""Imports the package `my_project` that is installed in a folder, and looks for other modules."""

import site
import sys
from importlib.util import find_spec

site.addsitedir(sys.argv[1])
import my_project.engine

print(my_project.__file__)
for name in sys.argv[2:]:
    print(name, "is found" if find_spec(name) else "is not found")
