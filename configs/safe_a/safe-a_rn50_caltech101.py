# SAFE-A, CLIP RN50, Caltech101: SAFE, then a cache of its blended features.
#
#   python tools/train.py configs/safe_a/safe-a_rn50_caltech101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = ['../safe/safe_rn50_caltech101.py', '../_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['neck.attn_pool_f.*']),
    dict(type='safe_mm.CacheHook', search={{_base_.search}}),
]
