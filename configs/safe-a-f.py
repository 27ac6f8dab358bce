# SAFE-A with keys that are fine-tuned after SAFE. CHECKPOINT is SAFE's or
# SAFE-A's for the same task.
#
#   python tools/train.py configs/safe-a-f.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data --cfg-options \
#       load_from=CHECKPOINT
#
# Trains N * K * D parameters (ImageNet, 16 shots: 16,384,000 for RN50,
# 8,192,000 for ViT-B/16). The recipe is that of tip-adapter-f.py. The paper
# does not say whether the keys of SAFE-A are trained; its figures are in
# safe-a.py.
_base_ = ['./tip-adapter-f.py']

model = dict(neck=dict(type='safe_mm.BlendedAttentionPool', beta=0.5, frozen=True))
