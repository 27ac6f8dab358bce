# Linear probe on the trunk's averaged features, without CLIP's pooling layer:
# what the pooling layer leaves out shows beside linear-probe.py.
#
#   python tools/train.py configs/linear-probe_trunk.py --clip photos \
#       --dataset caltech101 --shots 16 --seed 1 --data-root data
#
# Fits N * (width of the trunk + 1) numbers: 2048 for RN50, 768 for ViT-B/16, 1280
# for photos. No published figures.
_base_ = './linear-probe.py'

model = dict(neck=dict(type='safe_mm.MeanPool'))
