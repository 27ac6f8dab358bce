# Tip-Adapter-F, CLIP ViT-B/16, Caltech101.
#
#   python tools/train.py \
#       configs/tip_adapter/tip-adapter-f_vit-b16_caltech101.py \
#       --shots 16 --seed 1 --data-root data
_base_ = './tip-adapter-f_rn50_caltech101.py'

clip = dict(model_name='ViT-B-16')
