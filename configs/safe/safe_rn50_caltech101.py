# SAFE, CLIP RN50, Caltech101.
#
#   python tools/train.py configs/safe/safe_rn50_caltech101.py \
#       --shots 16 --seed 1 --data-root data
#
# Paper, Table I: 90.07 / 90.69 / 91.72 / 92.79 / 93.94 at 1/2/4/8/16 shots
# (mean of seeds 1-3, lr and weight decay chosen by validation); zero-shot
# CLIP 86.29.
_base_ = [
    '../_base_/models/safe_rn50.py',
    '../_base_/datasets/caltech101.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
