# Tip-Adapter: a key-value cache of the training images beside the class
# texts. Trains nothing. As published, a key is the mean feature of ten random
# views of an image; alpha and gamma are chosen on all validation images there,
# by few-shot validation here.
#
#   python tools/train.py configs/tip-adapter.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/fit.py',
    './_base_/search.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.CacheHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
train_dataloader = dict(dataset=dict(mirror=False, views=10, pipeline={{_base_.random_pipeline}}))
