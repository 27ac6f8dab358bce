# SAFE with one template for all datasets (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_one-template.py --dataset dtd --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains.
_base_ = './safe.py'

model = dict(templates='a photo of a {}.')
