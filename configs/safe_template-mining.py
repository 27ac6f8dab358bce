# SAFE with the 21 templates, of OpenAI's 80 and those of the dataset, that
# classify the few-shot validation images best (SAFE, Fig. 8).
#
#   python tools/train.py configs/safe_template-mining.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Trains what safe.py trains. Departs: the paper takes its templates from a pool of
# 180.
_base_ = './safe.py'

custom_hooks = [
    dict(type='safe_mm.FitHook'),
    dict(type='safe_mm.TemplateMiningHook'),
    dict(type='safe_mm.InitialValidationHook'),
]
