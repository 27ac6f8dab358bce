# Tip-Adapter on the small ResNet CLIP and drawn creatures of the package.
#
#   python tools/train.py configs/tip_adapter/tip-adapter_creatures-rn.py \
#       --shots 16 --seed 1 --cfg-options task=ears
_base_ = [
    '../_base_/models/clip_rn50.py',
    '../_base_/datasets/creatures.py',
    '../_base_/schedules/cache.py',
    '../_base_/default_runtime.py',
    '../_base_/search.py',
]
clip = dict(model_name='creatures-rn', pretrained='seed1')
model = dict(head=dict(type='safe_mm.CacheHead'))

default_hooks = dict(store=dict(type='safe_mm.StoredFeaturesHook'))
custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=[]),
    dict(type='safe_mm.CacheHook'),
]
