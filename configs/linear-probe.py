# Linear probe: logistic regression on CLIP's image features, without text.
#
#   python tools/train.py configs/linear-probe.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Fits N * (D + 1) parameters (ImageNet: 1,025,000 for RN50, 513,000 for
# ViT-B/16). As in CoOp's evaluation: features of the centre crop, after the
# projection, not normalised; L-BFGS, at most 1,000 iterations; few-shot
# validation chooses the strength of L2. Departs: C from 1e-4 to 1e4 by decades
# (there 1e-6 to 1e6 in steps of 100, then eight halvings about the best), since
# few validation images cannot tell finer ones. Published by CoOp, quoted in
# SAFE (Table III): ImageNet, 16 shots, 55.9 for RN50 and 65.9 for ViT-B/16,
# selected on few images of CoOp's validation list, which for ImageNet is the
# test list.
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
search = dict(C=[1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4])
train_dataloader = dict(dataset=dict(mirror=False))
