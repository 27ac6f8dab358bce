# Linear probe: logistic regression on CLIP's image features, without text.
#
#   python tools/train.py configs/linear-probe.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Fits N * (D + 1) parameters. As in CoOp's evaluation: features of the centre
# crop, after the projection, not normalised, L-BFGS, L2 strength chosen by
# few-shot validation, here among decades (there refined to an eighth of one).
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/fit.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.LinearProbeHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
search = dict(C=[1e-4, 1e-3, 1e-2, 0.1, 1, 10])
train_dataloader = dict(dataset=dict(mirror=False))
