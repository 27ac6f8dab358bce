# SAFE, CLIP RN50, Food-101.
#
#   python tools/train.py configs/safe/safe_rn50_food101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe_rn50.py',
    '../_base_/datasets/food101.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
