# CoOp with context vectors of each class (class-specific contexts).
#
#   python tools/train.py configs/coop-csc.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * 8,192 parameters; the recipe is that of coop.py. New classes cannot
# be predicted.
_base_ = './coop.py'

model = dict(head=dict(class_specific=True))
