# Tip-Adapter-F, CLIP RN50, Caltech101: the cache's keys are fine-tuned.
#
#   python tools/train.py \
#       configs/tip_adapter/tip-adapter-f_rn50_caltech101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = './tip-adapter_rn50_caltech101.py'

model = dict(head=dict(train_keys=True))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['head.keys']),
    dict(type='safe_mm.CacheHook'),
]

train_dataloader = dict(batch_size=256)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=200)]
train_cfg = dict(max_iters=200, val_interval=20)
