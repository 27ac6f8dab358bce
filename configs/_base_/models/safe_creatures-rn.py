# SAFE on the small ResNet CLIP that comes with the package.
_base_ = './safe_rn50.py'

clip = dict(model_name='creatures-rn', pretrained='seed1')

model = dict(
    data_preprocessor=dict(clip=clip),
    backbone=dict(clip=clip),
    neck=dict(clip=clip),
    head=dict(clip=clip))
