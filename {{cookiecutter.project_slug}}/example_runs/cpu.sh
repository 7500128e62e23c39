#!/usr/bin/env bash
# Train on the CPU{{ ", even if there is a GPU" if cookiecutter.hardware != "cpu" }}.
# Takes a minute or two on a laptop; expect the result that the README gives for the default run.
python main.py --device cpu "$@"
