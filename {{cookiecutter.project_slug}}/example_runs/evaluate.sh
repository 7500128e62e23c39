#!/usr/bin/env bash
# Test the best weights of the newest run, with the options it was trained with.
# Takes seconds; expect the test metrics that the run itself has printed at its end.
newest=$(ls -t runs/*/checkpoints/best.pt | head -n 1)
python main.py --evaluate "$newest" "$@"
