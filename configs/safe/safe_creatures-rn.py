# SAFE on the small ResNet CLIP and drawn creatures, all of it in the package.
#
#   python tools/train.py configs/safe/safe_creatures-rn.py --shots 16 \
#       --seed 1 --cfg-options task=ears
_base_ = [
    '../_base_/models/safe_creatures-rn.py',
    '../_base_/datasets/creatures.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(store=dict(type='safe_mm.StoredFeaturesHook'))

# The best of the grid by few-shot validation, see docs/creatures.md
optim_wrapper = dict(optimizer=dict(lr=3e-4))
grid = dict(lr=[3e-3, 1e-3, 3e-4, 1e-4], weight_decay=[1e-3])
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=300),
]
train_cfg = dict(max_iters=300)
