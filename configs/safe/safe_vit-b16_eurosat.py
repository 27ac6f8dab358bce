# SAFE, CLIP ViT-B/16, EuroSAT.
#
#   python tools/train.py configs/safe/safe_vit-b16_eurosat.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe_vit-b16.py',
    '../_base_/datasets/eurosat.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/default_runtime.py',
]
