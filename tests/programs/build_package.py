"""Builds the project in the working directory as pip does: `build_package.py HOOK FOLDER`."""

import sys

from setuptools import build_meta

hook, folder = sys.argv[1:]
getattr(build_meta, hook)(folder)
