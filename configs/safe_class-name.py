# SAFE with class names alone as prompts (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_class-name.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains: 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16.
# The recipe is that of safe.py. Published for ImageNet: far below all other
# prompts, without figures in the text.
_base_ = './safe.py'

model = dict(templates='{}')
