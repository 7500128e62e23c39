#!/usr/bin/env bash
# Train a larger GPT on English: the language reference of Python's help(), 0.5 MB of text.
# Takes about two minutes on a CPU. Expect about 1.9 bits per character; a model that knows only the
# frequency of each character needs 4.7, one that knows the frequency of pairs 3.4.
# For your own text, add --data-dir with a file, or a folder of files.
set -e
mkdir -p data
PYTHONUTF8=1 python -c "from pydoc_data.topics import topics; print(*topics.values(), sep='\n\n')" \
    > data/reference.txt
python main.py --dataset text --data-dir data/reference.txt \
    --context 128 --width 96 --layers 3 --lr 0.004 "$@"
