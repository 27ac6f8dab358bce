# CLAP: a linear probe that starts from the class texts and is held near them.
#
#   python tools/train.py configs/clap.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * D parameters (ImageNet: 1,024,000 for RN50, 512,000 for ViT-B/16).
# As published: SGD with lr 0.1 and no weight decay, batches of 256, cosine,
# twenty stored views of random crops, a constraint weighted by each class's
# zero-shot probability. Departs (docs/methods.md says why): seven templates for
# ImageNet (published: eight), 600 iterations in place of 300 epochs, and
# few-shot validation chooses the iteration (published: the last one, nothing is
# selected). Published averages were not at hand.
_base_ = ['./_base_/datasets/caltech101.py', './_base_/default_runtime.py']
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.CLAPHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
train_dataloader = dict(
    batch_size=256, dataset=dict(mirror=False, views=20, pipeline={{_base_.random_pipeline}})
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0)
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=600)]
train_cfg = dict(by_epoch=False, max_iters=600, val_interval=20)
val_cfg = dict()
test_cfg = dict()
