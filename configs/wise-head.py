# WiSE head: a linear probe that starts from the class texts, then the mean of
# the classifiers before and after. The image encoder is frozen.
#
#   python tools/train.py configs/wise-head.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * D parameters (ImageNet: 1,024,000 for RN50, 512,000 for ViT-B/16).
# It is what cross-modal adaptation's authors and SAFE's tables call WiSE-FT,
# there with a classifier that starts from random weights. The recipe is that of
# cross-modal-linear.py, with images alone; alpha is 0.5. Published by SAFE
# (Table I), RN50, average of 11 datasets: 59.09 / 61.80 / 65.29 / 68.43 / 71.64
# at 1/2/4/8/16 shots, selected by few-shot validation.
_base_ = './cross-modal-linear.py'

model = dict(head=dict(text_samples=False))
train_dataloader = dict(batch_size=8)
custom_hooks = [
    dict(type='safe_mm.FitHook', interpolate=0.5),
    dict(type='safe_mm.InitialValidationHook'),
]
