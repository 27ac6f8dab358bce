# SAFE on a ViT CLIP of 2 M parameters with random weights: it starts in a
# moment and knows nothing. For trying things out.
_base_ = './safe_rn50.py'

clip = dict(model_name='{{ fileDirname }}/tiny-vit.json', pretrained=None)

model = dict(
    data_preprocessor=dict(clip=clip),
    backbone=dict(clip=clip),
    neck=dict(clip=clip),
    head=dict(clip=clip))
