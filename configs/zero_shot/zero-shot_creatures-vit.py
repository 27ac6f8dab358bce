# Zero-shot, the small ViT CLIP and drawn creatures of the package.
#
#   python tools/test.py configs/zero_shot/zero-shot_creatures-vit.py \
#       --cfg-options task=ears
_base_ = './zero-shot_creatures-rn.py'

clip = dict(model_name='creatures-vit')
