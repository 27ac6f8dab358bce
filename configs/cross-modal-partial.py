# Cross-modal adaptation, partial: the pooling layer and the classifier learn
# from images and texts.
#
#   python tools/train.py configs/cross-modal-partial.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 14,787,584 parameters of RN50, those of SAFE, and 7,482,624 of
# ViT-B/16, with the norm and the projection after the last block, and N * D of
# the classifier (ImageNet: 15,811,584 and 7,994,624 in all). The recipe is that
# of cross-modal-linear.py, with the published grid of this variant; the scale
# of the logits is exp(4), as in the published scripts. Published by SAFE (Table
# I, the variant is not named), RN50, average of 11 datasets: 64.66 / 67.68 /
# 70.59 / 73.97 / 77.22 at 1/2/4/8/16 shots, selected by few-shot validation.
_base_ = './cross-modal-linear.py'

model = dict(neck=dict(type='safe_mm.FineTunedPool'), head=dict(scale=54.598))
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=1e-3))
grid = dict(_delete_=True, lr=[1e-5, 1e-6, 1e-7], weight_decay=[0, 1e-3, 1e-5])
