# SAFE, CLIP ViT-B/16, Oxford Flowers 102.
#
#   python tools/train.py configs/safe/safe_vit-b16_flowers102.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe_vit-b16.py',
    '../_base_/datasets/flowers102.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
