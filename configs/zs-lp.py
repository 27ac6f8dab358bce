# ZS-LP: a linear probe that starts from the class texts, without a constraint.
#
#   python tools/train.py configs/zs-lp.py --dataset caltech101 --shots 16 \
#       --seed 1 --data-root data
#
# Trains N * D parameters (ImageNet: 1,024,000 for RN50, 512,000 for ViT-B/16).
# The recipe is that of clap.py. Published averages were not at hand.
_base_ = './clap.py'

model = dict(head=dict(constrained=False))
grid = dict(lr=[1, 0.1, 0.01], weight_decay=[0])
