# SAFE-A, CLIP ViT-B/16, Food-101.
#
#   python tools/train.py configs/safe_a/safe-a_vit-b16_food101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe-a_vit-b16.py',
    '../_base_/datasets/food101.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/safe-a_runtime.py',
]
