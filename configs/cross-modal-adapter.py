# Cross-modal adaptation, adapter: a CLIP-Adapter and the classifier after it
# learn from images and texts.
#
#   python tools/train.py configs/cross-modal-adapter.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains N * D parameters and those of CLIP-Adapter (ImageNet: 1,548,288 for
# RN50, 643,072 for ViT-B/16). The recipe is that of cross-modal-linear.py, with
# the published grid of this variant. Published averages were not at hand.
_base_ = './cross-modal-linear.py'

model = dict(head=dict(ratio=0.2))
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=1e-3))
grid = dict(_delete_=True, lr=[1e-4, 1e-5, 1e-6, 1e-7], weight_decay=[0, 1e-3, 1e-5])
