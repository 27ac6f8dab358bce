# SAFE on photos of your own, with the CLIP "photos" of the extra photos:
#
#   python tools/train.py configs/safe_photos.py --data-root FOLDER --shots 4
#
# FOLDER has a folder of photos for each class, by which it is called. Trains
# 6,294,784 parameters, 1,280 of them the key bias, which has no effect. Departs
# from safe.py: batches of 32, 300 iterations, validation every 50, and a learning
# rate for this CLIP, the best on few-shot validation photos of Caltech101 and
# EuroSAT (docs/photos.md).
_base_ = [
    './_base_/datasets/folder.py',
    './_base_/schedules/safe_12800i.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='photos', pretrained='seed1'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.BlendedAttentionPool', beta=0.5),
    head=dict(type='safe_mm.TextClsHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))

train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
grid = dict(lr=[3e-3, 1e-3, 3e-4, 1e-4], weight_decay=[1e-3])
param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=300),
]
train_cfg = dict(max_iters=300, val_interval=50)
auto_scale_lr = dict(base_batch_size=32)
