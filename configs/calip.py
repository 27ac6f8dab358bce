# CALIP: image positions and class texts attend to each other, without parameters.
#
#   python tools/train.py configs/calip.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains nothing and uses no training images; the weights of its two terms are
# chosen by few-shot validation, from nine and seven values up to 20 and 0.2.
# Departs: a coarser grid, since few validation images cannot tell finer ones.
# Published, RN50, average of 11 datasets: 59.45, weights chosen on test images
# (on ImageNet, 200 values each, up to 2 and 0.1).
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/fit.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CALIPPool'),
    head=dict(type='safe_mm.CALIPHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
search = dict(
    beta_2=[0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20], beta_3=[0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
)
train_dataloader = dict(dataset=dict(mirror=False))
