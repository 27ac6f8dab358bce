# Small ResNet CLIP on drawn creatures, stage 1 of 3: the image encoder learns
# the words of the captions, at 112 pixels.
#
#   python tools/train.py configs/pretrain/creatures-rn_words.py --seed 1
_base_ = ['../_base_/creature_pairs.py', '../_base_/default_runtime.py']
seed = 1
model = dict(
    type='safe_mm.CLIPPretrainer', clip=dict(model_name='creatures-rn'), contrast=0, words=1
)
find_unused_parameters = True  # pooling layer and text encoder wait

train_dataloader = dict(
    dataset=dict(
        pipeline=[  # at 112 pixels, as drawn
            dict(type='LoadImageFromFile'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs', algorithm_keys=['captions']),
        ]
    )
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=3600),
]
train_cfg = dict(by_epoch=False, max_iters=3600)
custom_hooks = []
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=400, save_best=None))
