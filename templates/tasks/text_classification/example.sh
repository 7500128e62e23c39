#!/usr/bin/env bash
# Train on AG News (Zhang et al. 2015, https://arxiv.org/abs/1509.01626): 120,000 news texts of four
# classes. Put its train.csv and test.csv into data/ag_news first; they have no header, their columns
# are class, title and description.
# Joulin et al. 2017 (https://arxiv.org/abs/1607.01759) report an accuracy of 91.5 % for a bag of words.
python main.py --dataset csv --data-dir data/ag_news --columns 3 1 \
    --model embedding_bag --lr 0.01 --batch-size 256 --epochs 5 "$@"
