# CoOp with four context vectors that start from "a photo of a".
#
#   python tools/train.py configs/coop-m4.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 2,048 parameters of RN50 and ViT-B/16 alike; the recipe is that of coop.py.
# Better than 16 vectors out of distribution, and the form that base-to-new
# tables use: ViT-B/16, average of 11 datasets, 16 shots, base 82.69, new 63.22,
# nothing selected. In SAFE's Table III it is probably the row labelled M=16, with
# 63.3 on 16-shot ImageNet for RN50 and 71.7 for ViT-B/16.
_base_ = './coop.py'

model = dict(head=dict(num_tokens=None, init='a photo of a'))
