# Cross-modal adaptation, partial: the pooling layer and the classifier learn
# from images and texts.
#
#   python tools/train.py configs/cross-modal-partial.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains the parameters of SAFE and N * D more; for a ViT, also the norm and the
# projection behind the last block. The scale of the logits is exp(4), as in
# the published scripts. Published by SAFE (Table I), RN50, average of 11
# datasets: 64.66 / 67.68 / 70.59 / 73.97 / 77.22 at 1/2/4/8/16 shots.
_base_ = './cross-modal-linear.py'

model = dict(neck=dict(type='safe_mm.FineTunedPool'), head=dict(scale=54.598))
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=1e-3))
grid = dict(_delete_=True, lr=[1e-5, 1e-6, 1e-7], weight_decay=[0, 1e-3, 1e-5])
