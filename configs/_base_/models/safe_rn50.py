# SAFE on CLIP RN50. OpenAI's weights are downloaded on first use; for a file
# of your own: --cfg-options clip.pretrained=PATH
clip = dict(model_name='RN50', pretrained='openai')

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='safe_mm.CLIPDataPreprocessor', clip=clip),
    backbone=dict(type='safe_mm.CLIPTrunk', clip=clip),
    neck=dict(type='safe_mm.BlendedAttentionPool', clip=clip, beta=0.5),
    head=dict(type='safe_mm.TextClsHead', clip=clip))
