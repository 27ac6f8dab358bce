# WiSE head: a linear probe that starts from the class texts, then the mean of the
# classifiers before and after. The image encoder is frozen.
#
#   python tools/train.py configs/wise-head.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * D parameters. It is what cross-modal adaptation's authors and the
# SAFE paper's tables call WiSE-FT, there with a classifier that starts from
# random weights. Their figures, RN50, average of 11 datasets: 59.09 / 61.80 /
# 65.29 / 68.43 / 71.64 at 1/2/4/8/16 shots.
_base_ = './cross-modal-linear.py'

model = dict(head=dict(text_samples=False))
train_dataloader = dict(batch_size=8)
custom_hooks = [
    dict(type='safe_mm.FitHook', interpolate=0.5),
    dict(type='safe_mm.InitialValidationHook'),
]
