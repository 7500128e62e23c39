#!/usr/bin/env bash
# Fine-tune a Faster R-CNN with ImageNet weights on Pascal VOC 2007 and 2012, which are downloaded
# to data/ if they are not there yet. This needs a GPU: it takes 8 passes over 14,041 photographs.
# To compare: MMDetection publishes a mAP50 of 79.5 % for this detector on images of up to 1,000
# pixels.
python main.py --dataset voc --image-size 512 --model faster_rcnn --pretrained --epochs 8 --lr 0.0001 --grad-clip 1 "$@"
