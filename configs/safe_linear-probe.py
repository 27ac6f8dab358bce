# SAFE, then a linear probe on its blended features.
#
#   python tools/train.py configs/safe_linear-probe.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.LinearProbeHead', text=True))
search = dict(C=[1e-4, 1e-3, 1e-2, 0.1, 1, 10])
