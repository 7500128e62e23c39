"""Prints the hash of the listing of an image folder: print_listings.py FOLDER ..."""

import sys

from my_project.datasets import DATASETS
from my_project.engine.provenance import hash_listing
from my_project.utils import parse_arguments

for folder in sys.argv[1:]:
    args = parse_arguments(["--dataset", "image_folder", "--data-dir", folder])
    print(hash_listing(DATASETS["image_folder"](args)))
