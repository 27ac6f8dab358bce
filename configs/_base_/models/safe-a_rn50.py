# SAFE-A on CLIP RN50.
_base_ = './safe_rn50.py'

model = dict(head=dict(type='safe_mm.CacheHead'))
