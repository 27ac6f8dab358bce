# A CLIP from random weights.
clip = dict(model_name='creatures-rn', pretrained=None)

model = dict(
    type='safe_mm.CLIPPretrainer',
    clip=clip,
    data_preprocessor=dict(type='safe_mm.CLIPDataPreprocessor', clip=clip))
