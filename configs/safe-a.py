# SAFE-A: SAFE, then a key-value cache of blended features.
#
#   python tools/train.py configs/safe-a.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Paper, Table I, RN50: average of 11 datasets 67.04 / 69.32 / 71.96 / 74.88 /
# 78.12 at 1/2/4/8/16 shots. alpha, gamma and beta are chosen by few-shot
# validation; the paper does not say how it chose them.
_base_ = ['./safe.py', './_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))
