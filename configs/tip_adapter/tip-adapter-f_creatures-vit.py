# Tip-Adapter-F on the small ViT CLIP and drawn creatures of the package.
#
#   python tools/train.py configs/tip_adapter/tip-adapter-f_creatures-vit.py \
#       --shots 16 --seed 1 --cfg-options task=ears
_base_ = './tip-adapter-f_creatures-rn.py'

clip = dict(model_name='creatures-vit')
