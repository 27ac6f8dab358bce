# SAFE, then LP++ on its blended features of the two training views.
#
#   python tools/train.py configs/safe_lp-plus-plus.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16, and fits N * (D +
# 2) more (ImageNet: 1,026,000 for RN50, 514,000 for ViT-B/16). The recipe is
# that of safe.py; few-shot validation chooses the number of epochs, and beta is
# 0.5. There are no published figures.
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.LPPlusPlusHead'))
search = dict(epochs=[1, 3, 10, 30, 100, 300])
