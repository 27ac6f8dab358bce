# SAFE whose tuned pooling layer is held near the original one, by ProLIP's
# penalty ||theta_F - theta_O||^2 / K.
#
#   python tools/train.py configs/safe_prolip.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains: 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16.
# The recipe is that of safe.py. The penalty is on all of these parameters, where
# ProLIP has the projection alone. There are no published figures.
_base_ = './safe.py'

model = dict(neck=dict(shots={{_base_.shots}}))
