# Small ResNet CLIP on drawn creatures, stage 3 of 3: pooling layer and text
# encoder learn to match pictures and captions, on the image encoder's cached
# features.
#
#   python tools/train.py configs/pretrain/creatures-rn.py --seed 1
_base_ = ['../_base_/creature_pairs.py', '../_base_/default_runtime.py']
seed = 1
load_from = 'work_dirs/creatures-rn_words-160/seed1/iter_400.pth'
model = dict(
    type='safe_mm.CLIPPretrainer', clip=dict(model_name='creatures-rn'), contrast=1, words=0
)
train_dataloader = dict(batch_size=256)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=1000),
]
train_cfg = dict(by_epoch=False, max_iters=1000)
custom_hooks = [
    dict(type='safe_mm.FreezeHook', trainable=['pool.*', 'text.*']),
    dict(type='safe_mm.ZeroShotHook', dataloaders={{_base_.labelled}}, interval=200),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, save_best=None),
    feature_cache=dict(type='safe_mm.FeatureCacheHook', dtype='float16'),
)
