# SAFE on a tiny CLIP with random weights and pictures of coloured shapes.
_base_ = '../../configs/safe.py'

dataset_name = 'shapes'
dataset = dict(data_prefix='shapes', ann_file='', templates='a {}.')
crop = [{{_base_.load}}, dict(type='safe_mm.CLIPCrop', size=64), {{_base_.pack}}]
train_dataloader = dict(dataset=dict(pipeline=crop, **dataset))
val_dataloader = dict(dataset=dict(pipeline=crop, **dataset))
test_dataloader = dict(dataset=dict(pipeline=crop, **dataset))

model = dict(
    clip=dict(model_name='{{ fileDirname }}/tiny-vit.json', pretrained=None), classes=dataset
)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=400),
]
train_cfg = dict(max_iters=400)
