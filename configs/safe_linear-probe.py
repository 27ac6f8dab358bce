# SAFE, then a linear probe on its blended features.
#
#   python tools/train.py configs/safe_linear-probe.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 14,787,584 parameters of RN50, 7,087,872 of ViT-B/16, with the class
# texts as classifier, and fits N * (D + 1) more (ImageNet: 1,025,000 for RN50,
# 513,000 for ViT-B/16) to both training views. The recipe is that of safe.py;
# few-shot validation chooses C, and beta is 0.5. There are no published
# figures.
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.LinearProbeHead', text=True))
search = dict(C=[1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4])
