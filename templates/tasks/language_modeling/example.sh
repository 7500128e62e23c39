#!/usr/bin/env bash
# Train a somewhat larger GPT on English: the reference of the language that Python's help() shows, 0.5 MB of text.
# Takes about TODO minutes on two CPU cores. Expect about TODO bits per character; how often each character occurs
# gives 4.7, how often it follows the one before it 3.4.
# Your own text goes the same way: add --data-dir with a file or a folder of them.
mkdir -p data
PYTHONUTF8=1 python -c "from pydoc_data.topics import topics; print(*topics.values(), sep='\n\n')" > data/reference.txt
python main.py --dataset text --data-dir data/reference.txt --context 128 --width 96 --layers 3 --lr 0.004 "$@"
