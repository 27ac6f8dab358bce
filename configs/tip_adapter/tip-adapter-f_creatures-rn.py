# Tip-Adapter-F on the small ResNet CLIP and drawn creatures of the package.
#
#   python tools/train.py configs/tip_adapter/tip-adapter-f_creatures-rn.py \
#       --shots 16 --seed 1 --cfg-options task=ears
_base_ = './tip-adapter_creatures-rn.py'

model = dict(head=dict(train_keys=True))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['head.keys']),
    dict(type='safe_mm.CacheHook'),
]

train_dataloader = dict(batch_size=256)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=200)]
train_cfg = dict(max_iters=200, val_interval=20)
