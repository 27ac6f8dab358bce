# ProLIP: CLIP's last visual projection is fine-tuned, and held near its start.
#
#   python tools/train.py configs/prolip.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 2,097,152 parameters of RN50 and 393,216 of ViT-B/16. As published for
# use without validation: Adam with eps 1e-4, 300 iterations, lr 1e-5, a penalty
# of 1/K. Departs (docs/methods.md says why): batches of 256 images of ten
# stored random views (published: all images, 300 views), and few-shot
# validation chooses the iteration. Published, RN50, average of 11 datasets, ten
# samples, nothing selected: 64.33 / 67.19 / 69.94 / 72.82 / 75.46 at 1/2/4/8/16
# shots.
_base_ = ['./_base_/datasets/caltech101.py', './_base_/default_runtime.py']
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.ProLIPPool', shots={{_base_.shots}}),
    head=dict(type='safe_mm.TextClsHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
train_dataloader = dict(
    batch_size=256, dataset=dict(mirror=False, views=10, pipeline={{_base_.random_pipeline}})
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5, eps=1e-4, weight_decay=0)
)
grid = dict(lr=[1e-3, 1e-4, 1e-5], weight_decay=[0])
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=300)]
train_cfg = dict(by_epoch=False, max_iters=300, val_interval=20)
val_cfg = dict()
test_cfg = dict()
