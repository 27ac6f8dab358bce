# SAFE-A: SAFE, then a key-value cache of blended features.
#
#   python tools/train.py configs/safe-a.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 14,787,584 parameters of RN50 and 7,087,872 of ViT-B/16. The cache is
# fitted afterwards; it has N * K * D numbers (ImageNet, 16 shots: 16,384,000
# for RN50, 8,192,000 for ViT-B/16). Its keys are means of an image's two
# training views; safe-a-f.py trains them. The paper does not say which views
# make the keys, whether keys are trained, or how alpha and gamma are chosen;
# here few-shot validation chooses alpha, gamma and beta. Published (Table I),
# RN50: average of 11 datasets 67.04 / 69.32 / 71.96 / 74.88 / 78.12 at
# 1/2/4/8/16 shots.
_base_ = ['./safe.py', './_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))
