# CALIP-FS: CALIP with trained linear layers before and after its attention.
#
#   python tools/train.py configs/calip-fs.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 4 * D * D parameters: 4,194,304 for RN50 and 1,048,576 for ViT-B/16.
# Built from the published description; no public code. Recipe, start and
# weights of the terms are this library's, since none is published: AdamW, two
# fixed views of each image, and few-shot validation chooses the iteration, then
# the weights. Published (only in SAFE's Table III, selection not stated),
# 16-shot ImageNet / V2 / Sketch / A / R: RN50 65.8 / 55.9 / 35.4 / 23.4 / 56.7,
# ViT-B/16 73.1 / 65.1 / 48.3 / 50.4 / 76.6.
_base_ = ['./_base_/datasets/caltech101.py', './_base_/default_runtime.py']
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CALIPPool'),
    head=dict(type='safe_mm.CALIPFSHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
search = dict(beta_2=[0, 0.25, 0.5, 1, 2, 4, 8], beta_3=[0, 0.25, 0.5, 1, 2])

train_dataloader = dict(batch_size=32)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01))
grid = dict(lr=[1e-3, 1e-4, 1e-5], weight_decay=[0.01])
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=3200)]
train_cfg = dict(by_epoch=False, max_iters=3200, val_interval=100)
val_cfg = dict()
test_cfg = dict()
