# SAFE-A, CLIP ViT-B/16, FGVC-Aircraft.
#
#   python tools/train.py configs/safe_a/safe-a_vit-b16_fgvcaircraft.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe-a_vit-b16.py',
    '../_base_/datasets/fgvcaircraft.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/safe-a_runtime.py',
]
