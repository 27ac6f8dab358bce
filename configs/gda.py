# GDA: Gaussian discriminant analysis beside the class texts, in closed form.
#
#   python tools/train.py configs/gda.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Fits N * (D + 1) parameters. Published, RN50, average of 11 datasets: 62.19 /
# 66.19 / 69.77 / 73.31 / 76.05 at 1/2/4/8/16 shots, alpha chosen on all
# validation images (on ImageNet, on test images); here on few-shot ones.
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
    head=dict(type='safe_mm.GDAHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
search = dict(alpha=[1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100])

# Each view is a sample of its own
train_dataloader = dict(dataset=dict(mirror=False, views=10, pipeline={{_base_.random_pipeline}}))
