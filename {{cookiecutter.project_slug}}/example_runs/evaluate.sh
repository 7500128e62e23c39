#!/usr/bin/env bash
# Test the best weights of the newest run, with the options it was trained with.
# Takes seconds; expect the test metrics that the run printed at its end.
newest=$(ls -t runs/*/checkpoints/best.pt 2> /dev/null | head -n 1)
[ -n "$newest" ] || { echo "error: there is no run in runs/ yet" >&2; exit 2; }
python main.py --evaluate "$newest" "$@"
