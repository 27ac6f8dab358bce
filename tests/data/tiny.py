# SAFE on a tiny CLIP with random weights and pictures of coloured shapes.
_base_ = [
    '../../configs/_base_/models/safe_rn50.py',
    '../../configs/_base_/datasets/caltech101.py',
    '../../configs/_base_/schedules/safe_12800i.py',
    '../../configs/_base_/default_runtime.py',
]
clip = dict(model_name='{{ fileDirname }}/tiny-vit.json', pretrained=None)
model = dict(
    data_preprocessor=dict(clip=clip),
    backbone=dict(clip=clip),
    neck=dict(clip=clip),
    head=dict(clip=clip))

dataset = dict(data_prefix='shapes', ann_file='', templates='a {}.')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=400),
]
train_cfg = dict(max_iters=400)
