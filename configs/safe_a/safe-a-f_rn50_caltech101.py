# SAFE-A, CLIP RN50, Caltech101, with keys fine-tuned after SAFE.
# CHECKPOINT is SAFE's or SAFE-A's for the same task.
#
#   python tools/train.py configs/safe_a/safe-a-f_rn50_caltech101.py \
#       --shots 16 --seed 1 --data-root data --cfg-options \
#       load_from=CHECKPOINT
_base_ = './safe-a_rn50_caltech101.py'

model = dict(head=dict(train_keys=True))

custom_hooks = [
    dict(type='safe_mm.ClassNamesHook'),
    dict(type='safe_mm.FreezeHook', trainable=['head.keys']),
    dict(type='safe_mm.CacheHook'),
]

train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-3, eps=1e-4, weight_decay=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=200)]
train_cfg = dict(max_iters=200, val_interval=20)
