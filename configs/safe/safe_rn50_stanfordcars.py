# SAFE, CLIP RN50, Stanford Cars.
#
#   python tools/train.py configs/safe/safe_rn50_stanfordcars.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe_rn50.py',
    '../_base_/datasets/stanfordcars.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
