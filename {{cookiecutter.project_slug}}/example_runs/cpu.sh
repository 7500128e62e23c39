#!/usr/bin/env bash
# Train on the CPU{{ ", also where there is a GPU" if cookiecutter.hardware != "cpu" }}.
# Takes a minute or two on a laptop; expect what the README promises of the default run.
python main.py --device cpu "$@"
