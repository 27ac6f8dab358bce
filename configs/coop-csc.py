# CoOp with context vectors of each class (class-specific contexts).
#
#   python tools/train.py configs/coop-csc.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * 8,192 parameters of RN50 and ViT-B/16 alike (ImageNet: 8,192,000); the
# recipe is that of coop.py. New classes cannot be predicted. Published averages
# were not at hand.
_base_ = './coop.py'

model = dict(head=dict(class_specific=True))
