# SAFE with sentences of a language model for each class, as CuPL has them (SAFE,
# Fig. 8).
#
#   python tools/train.py configs/safe_cupl.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data --cfg-options model.templates=FILE.json
#
# Trains what safe.py trains: 14,787,584 parameters of RN50, 7,087,872 of
# ViT-B/16. The recipe is that of safe.py. FILE.json is {class: [sentences]}; no
# such file comes with this package. There are no published figures but the curve
# of Fig. 8.
_base_ = './safe.py'

model = dict(templates='data/cupl.json')
