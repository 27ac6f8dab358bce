# SAFE on a tiny CLIP with random weights and drawn shapes: the whole path in
# a minute, without a download. Zero-shot is at chance, 16.7%.
#
#   python tools/draw_shapes.py data
#   python tools/train.py configs/safe/safe_tiny-vit_shapes.py
_base_ = [
    '../_base_/models/safe_tiny-vit.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=400),
]
train_cfg = dict(max_iters=400)
