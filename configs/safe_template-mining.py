# SAFE with the 21 templates, of OpenAI's 80 and those of the dataset, that
# classify the few-shot validation images best (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_template-mining.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains what safe.py trains: 14,787,584 parameters of RN50, 7,087,872 of
# ViT-B/16. The recipe is that of safe.py; W_c is the mean of the templates that
# are best alone, with the unchanged CLIP, on the images that choose the
# iteration later. Departs: the paper takes its templates from a pool of 180;
# OpenAI's 80 need no other file. There are no published figures but the curve
# of Fig. 8.
_base_ = './safe.py'

custom_hooks = [
    dict(type='safe_mm.FitHook'),
    dict(type='safe_mm.TemplateMiningHook'),
    dict(type='safe_mm.InitialValidationHook'),
]
