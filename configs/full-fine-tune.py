# Full fine-tuning of the image encoder and of a classifier that starts from the
# class texts, with cross-entropy.
#
#   python tools/train.py configs/full-fine-tune.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains 38,314,848 parameters of RN50 or 86,192,640 of ViT-B/16, and N * D of
# the classifier (ImageNet: 39,338,848 and 86,704,640 in all). BatchNorms keep
# their statistics. Images are read in each iteration: no stage is frozen. The
# schedule is SAFE's; lr 1e-5 and weight decay 0.1 are those of FLYP; few-shot
# runs there take 1e-6 to 1e-5. Published by CLIP-CITE for a plain fine-tuning
# whose recipe is not given, 16-shot ImageNet / V2 / Sketch / A / R, ViT-B/16:
# 68.2 / 61.9 / 46.8 / 46.4 / 75.1, selection not stated.
_base_ = [
    './_base_/datasets/caltech101.py',
    './_base_/schedules/safe_12800i.py',
    './_base_/default_runtime.py',
]
model = dict(
    type='safe_mm.CLIPClassifier',
    clip=dict(model_name='RN50', pretrained='openai'),
    classes={{_base_.dataset}},
    neck=dict(type='safe_mm.FineTunedPool'),
    head=dict(type='safe_mm.CrossModalHead', text_samples=False),
    trainable=['backbone.*', 'neck.*', 'head.weight'],
)
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=0.1))
grid = dict(_delete_=True)  # a trained trunk is not trained side by side
