# SAFE-A, CLIP ViT-B/16, Caltech101.
#
#   python tools/train.py configs/safe_a/safe-a_vit-b16_caltech101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = './safe-a_rn50_caltech101.py'

clip = dict(model_name='ViT-B-16')
