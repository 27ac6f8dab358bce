# Zero-shot CLIP RN50, Caltech101.
#
#   python tools/test.py configs/zero_shot/zero-shot_rn50_caltech101.py \
#       --data-root data
#
# Paper, Table I: 86.29.
_base_ = [
    '../_base_/models/clip_rn50.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/schedules/test_only.py',
    '../_base_/default_runtime.py',
]
train_dataloader = None
val_dataloader = None
val_evaluator = None
