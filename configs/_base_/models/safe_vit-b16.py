# SAFE on CLIP ViT-B/16: its last block is the pooling layer.
_base_ = './safe_rn50.py'

clip = dict(model_name='ViT-B-16', pretrained='openai')

model = dict(
    data_preprocessor=dict(clip=clip),
    backbone=dict(clip=clip),
    neck=dict(clip=clip),
    head=dict(clip=clip))
