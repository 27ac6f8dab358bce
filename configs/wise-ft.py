# WiSE-FT: full fine-tuning, then the mean of the weights before and after.
#
#   python tools/train.py configs/wise-ft.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what full-fine-tune.py trains. As published: the classifier starts from
# the class texts, alpha is 0.5. Departs: SAFE's schedule in place of ten epochs
# of all of ImageNet, and few-shot validation chooses the iteration. The rows
# "WiSE-FT" of the paper's tables are of wise-head.py, but for the ViT-B/16 of
# Table III.
_base_ = './full-fine-tune.py'

custom_hooks = [
    dict(type='safe_mm.FitHook', interpolate=0.5),
    dict(type='safe_mm.InitialValidationHook'),
]
