# SAFE with one template for all datasets (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_one-template.py --dataset dtd --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains: 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16.
# The recipe is that of safe.py, which has this template for Caltech101, Stanford
# Cars and SUN397. There are no published figures but the curve of Fig. 8.
_base_ = './safe.py'

model = dict(templates='a photo of a {}.')
