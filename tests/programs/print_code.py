"""Prints the commit of a project and its changes as JSON."""

import json

from my_project.engine.provenance import read_code

code = read_code()
if code["commit"]:
    code["changes"] = code["changes"].decode()
print(json.dumps(code))
