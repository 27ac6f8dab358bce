# SAFE, then LP++ on its blended features of the two training views.
#
#   python tools/train.py configs/safe_lp-plus-plus.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.LPPlusPlusHead'))
search = dict(epochs=[10, 30, 100, 300])
