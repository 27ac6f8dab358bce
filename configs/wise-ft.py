# WiSE-FT: full fine-tuning, then the mean of the weights before and after.
#
#   python tools/train.py configs/wise-ft.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what full-fine-tune.py trains: 38,314,848 parameters of RN50 or
# 86,192,640 of ViT-B/16, and N * D of the classifier. As published: the
# classifier starts from the class texts, alpha is 0.5. Departs (docs/methods.md
# says why): SAFE's schedule in place of ten epochs of all of ImageNet, and
# few-shot validation chooses the iteration. The rows "WiSE-FT" of SAFE's tables
# are those of classifiers on a frozen encoder: see wise-head.py. There are no
# published figures of this setting.
_base_ = './full-fine-tune.py'

custom_hooks = [
    dict(type='safe_mm.FitHook', interpolate=0.5),
    dict(type='safe_mm.InitialValidationHook'),
]
