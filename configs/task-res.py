# TaskRes: a trained residual on the class weights.
#
#   python tools/train.py configs/task-res.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * D parameters. As published: Adam, batches of 256, random crops.
# Departs: 400 iterations in place of 100 or 200 epochs, ten fixed random views,
# and few-shot validation chooses the iteration (published: the last one, one
# seed). alpha is 0.5 (published for Flowers102: 1).
_base_ = ['./_base_/datasets/caltech101.py', './_base_/default_runtime.py']
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.TaskResHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
train_dataloader = dict(
    batch_size=256, dataset=dict(mirror=False, views=10, pipeline={{_base_.random_pipeline}})
)

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-3, weight_decay=0))
grid = dict(lr=[2e-2, 2e-3, 2e-4], weight_decay=[0])
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=400)]
train_cfg = dict(by_epoch=False, max_iters=400, val_interval=20)
val_cfg = dict()
test_cfg = dict()
