# SAFE with class names alone as prompts (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_class-name.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains.
_base_ = './safe.py'

model = dict(templates='{}')
