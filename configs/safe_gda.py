# SAFE, then GDA on its blended features of the two training views.
#
#   python tools/train.py configs/safe_gda.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16, and fits N * (D +
# 1) more (ImageNet: 1,025,000 for RN50, 513,000 for ViT-B/16). The recipe is
# that of safe.py; few-shot validation chooses alpha and beta. There are no
# published figures.
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.GDAHead'))
search = dict(alpha=[1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100], beta=[0, 0.25, 0.5, 0.75, 1])
