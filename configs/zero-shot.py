# Zero-shot CLIP: nothing is trained, and no checkpoint is needed.
#
#   python tools/test.py configs/zero-shot.py --dataset caltech101 \
#       --data-root data
#
# Trains nothing. Prompts are the templates of Tip-Adapter, seven for ImageNet.
# Published by SAFE (Table I), RN50: average of 11 datasets 58.77, Caltech101
# 86.29, ImageNet 58.18 with one prompt. In the log of Tip-Adapter's code, with
# seven: average 58.89, ImageNet 60.32. Nothing is selected.
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/test_only.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.CLIPPool'),
    head=dict(type='safe_mm.TextClsHead'),
)
train_dataloader = None
val_dataloader = None
val_evaluator = None
