# SAFE, then GDA on its blended features of the two training views.
#
#   python tools/train.py configs/safe_gda.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
_base_ = './safe.py'

model = dict(head=dict(type='safe_mm.GDAHead'))
search = dict(alpha=[1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100], beta=[0, 0.25, 0.5, 0.75, 1])
