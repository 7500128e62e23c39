#!/usr/bin/env bash
# Start a run, or resume it if it was stopped: the same command for a scheduler to repeat.
# Takes the time of the epochs that are left; a finished run is only tested again.
python main.py --resume --run-dir runs/resumable "$@"
