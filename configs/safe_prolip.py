# SAFE whose tuned pooling layer is held near the original one, by ProLIP's
# penalty ||theta_F - theta_O||^2 / K.
#
#   python tools/train.py configs/safe_prolip.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains.
_base_ = './safe.py'

model = dict(neck=dict(shots={{_base_.shots}}))
