# SAFE-A on a small CLIP and drawn creatures, all of it in the package.
#
#   python tools/train.py configs/safe-a_creatures.py --dataset ears --shots 16
#
# Trains 833,600 parameters of creatures-rn. The cache is fitted afterwards; it
# has N * K * 64 numbers (16 shots: 10,240 for ears). Few-shot validation
# chooses alpha, gamma and beta. Results are in docs/creatures.md.
_base_ = ['./safe_creatures.py', './_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))
