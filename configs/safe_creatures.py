# SAFE on a small CLIP and drawn creatures, all of it in the package.
#
#   python tools/train.py configs/safe_creatures.py --dataset ears --shots 16
#
# Trains 833,600 parameters of creatures-rn. The recipe is that of safe.py, for
# 300 iterations with lr 3e-4. Results are in docs/creatures.md.
_base_ = [
    './_base_/datasets/ears.py',
    './_base_/schedules/safe_12800i.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='creatures-rn', pretrained='seed1'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.BlendedAttentionPool', beta=0.5),
    head=dict(type='safe_mm.TextClsHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))

# The best of the grid by few-shot validation, see docs/creatures.md
optim_wrapper = dict(optimizer=dict(lr=3e-4))
grid = dict(lr=[3e-3, 1e-3, 3e-4, 1e-4], weight_decay=[1e-3])
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=300),
]
train_cfg = dict(max_iters=300)
