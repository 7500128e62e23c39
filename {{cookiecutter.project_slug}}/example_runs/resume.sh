#!/usr/bin/env bash
# Start a run, or go on with it where it was stopped: the same command for a scheduler to repeat.
# Takes as long as what is left to do; a finished run is only tested again.
python main.py --resume --run-dir runs/resumable "$@"
