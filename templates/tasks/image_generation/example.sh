#!/usr/bin/env bash
# Learn to write the digits of MNIST, which is downloaded to data/ if it is not there yet.
# Takes about 6 minutes on one CPU core; on a GPU add --epochs 20 --width 32 for better digits.
# Expect a Fréchet distance of about 0.8, and a samples.png with digits that can be read.
python main.py --dataset mnist --epochs 1 --width 16 --sampling-steps 3 "$@"
