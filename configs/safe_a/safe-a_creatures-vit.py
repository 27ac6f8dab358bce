# SAFE-A on the small ViT CLIP and drawn creatures of the package.
#
#   python tools/train.py configs/safe_a/safe-a_creatures-vit.py \
#       --shots 16 --seed 1 --cfg-options task=ears
_base_ = './safe-a_creatures-rn.py'

clip = dict(model_name='creatures-vit')
