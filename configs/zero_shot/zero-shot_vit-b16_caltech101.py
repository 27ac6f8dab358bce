# Zero-shot CLIP ViT-B/16, Caltech101.
#
#   python tools/test.py configs/zero_shot/zero-shot_vit-b16_caltech101.py \
#       --data-root data
_base_ = './zero-shot_rn50_caltech101.py'

clip = dict(model_name='ViT-B-16')
