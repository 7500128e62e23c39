#!/usr/bin/env bash
python main.py --points 6000 "$@"
