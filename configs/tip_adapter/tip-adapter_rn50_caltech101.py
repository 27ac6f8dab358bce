# Tip-Adapter, CLIP RN50, Caltech101: training images beside the class texts.
#
#   python tools/train.py configs/tip_adapter/tip-adapter_rn50_caltech101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/clip_rn50.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/schedules/cache.py',
    '../_base_/default_runtime.py',
    '../_base_/search.py',
]
model = dict(head=dict(type='safe_mm.CacheHead'))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=[]),
    dict(type='safe_mm.CacheHook'),
]
