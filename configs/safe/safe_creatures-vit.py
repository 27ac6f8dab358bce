# SAFE on the small ViT CLIP and drawn creatures, all of it in the package.
#
#   python tools/train.py configs/safe/safe_creatures-vit.py --shots 16 \
#       --seed 1 --cfg-options task=ears
_base_ = './safe_creatures-rn.py'

clip = dict(model_name='creatures-vit')
