#!/usr/bin/env bash
# Predict the prices of 53,940 diamonds from six numbers and three grades; the file is downloaded to
# data/ once. Takes about 20 seconds on two CPU cores. Expect a test R2 of about 0.98.
set -e
file=data/diamonds.csv
url=https://raw.githubusercontent.com/mwaskom/seaborn-data/master/diamonds.csv
if [ ! -f "$file" ]; then
    mkdir -p data
    curl --fail --location --output "$file.part" "$url"
    mv "$file.part" "$file"
fi
python main.py --dataset csv --data-dir "$file" --target price \
    --batch-size 256 --lr 0.003 --epochs 20 "$@"
