# Cross-modal adaptation, linear: class texts are training samples, too.
#
#   python tools/train.py configs/cross-modal-linear.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains N * D parameters (ImageNet: 1,024,000 for RN50, 512,000 for ViT-B/16).
# As published: half of a batch of 8 are texts, AdamW, 12,800 iterations, centre
# crop and horizontal flip, few-shot validation. Text samples are the sentences
# of the config's templates. Departs: batches of 8 only (published: or 32),
# since settings of one batch size share the features of an iteration; W_c as
# elsewhere (docs/methods.md says why). Its authors: with the head started from
# the texts, as here and in their scripts, text samples add little. Published by
# SAFE (Table III, the variant is not named), RN50, ImageNet, 16 shots: 64.5,
# selected by few-shot validation.
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/safe_12800i.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.CrossModalHead'),
)
default_hooks = dict(feature_cache=dict(type='safe_mm.FeatureCacheHook'))
train_dataloader = dict(batch_size=4)  # and as many texts
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.01))
grid = dict(lr=[1e-3, 1e-4], weight_decay=[0, 0.01, 1e-4])
