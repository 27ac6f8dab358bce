# SAFE-A on a small CLIP and drawn creatures, all of it in the package.
#
#   python tools/train.py configs/safe-a_creatures.py --dataset ears --shots 16
_base_ = ['./safe_creatures.py', './_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))
