# ProGrad: CoOp whose steps do not contradict zero-shot CLIP.
#
#   python tools/train.py configs/prograd.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains 8,192 parameters of RN50 and ViT-B/16 alike. As published: 16 vectors,
# the last of which start from the words of a template and the others from zero;
# lambda is 1. Departs (docs/methods.md says why): lambda is 1 for Flowers102,
# DTD and EuroSAT at 8 and 16 shots, too (published: 0.8, --cfg-options
# model.head.strength=0.8); the words are "a photo of a" for all (published:
# those of each dataset); the teacher is zero-shot CLIP with the templates of
# the dataset (published: others, one a dataset); otherwise the recipe is that
# of coop.py. Published by SAFE (Table I), RN50, average of 11 datasets: 62.61 /
# 64.90 / 68.45 / 71.41 / 73.96 at 1/2/4/8/16 shots; by others, ViT-B/16: 68.20
# / 71.78 / 74.21 / 77.93 / 79.20; nothing selected.
_base_ = './coop.py'

model = dict(head=dict(_delete_=True, type='safe_mm.ProGradHead'))
