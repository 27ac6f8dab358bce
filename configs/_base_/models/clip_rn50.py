# CLIP RN50 with its own pooling layer.
_base_ = './safe_rn50.py'

model = dict(
    neck=dict(_delete_=True, type='safe_mm.CLIPPool', clip={{_base_.clip}}))
