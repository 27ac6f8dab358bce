# SAFE-A on the small ResNet CLIP and drawn creatures of the package.
#
#   python tools/train.py configs/safe_a/safe-a_creatures-rn.py \
#       --shots 16 --seed 1 --cfg-options task=ears
_base_ = ['../safe/safe_creatures-rn.py', '../_base_/search.py']

model = dict(head=dict(type='safe_mm.CacheHead'))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['neck.attn_pool_f.*']),
    dict(type='safe_mm.CacheHook'),
]
