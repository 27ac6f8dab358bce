# Small ResNet CLIP on drawn creatures, stage 2 of 3: the image encoder gets
# used to 160 pixels.
#
#   python tools/train.py configs/pretrain/creatures-rn_words-160.py --seed 1
_base_ = './creatures-rn_words.py'

load_from = 'work_dirs/creatures-rn_words/seed1/iter_3600.pth'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            {{_base_.load}},
            {{_base_.crop}},
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs', algorithm_keys=['captions']),
        ]
    )
)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=400),
]
train_cfg = dict(max_iters=400)
