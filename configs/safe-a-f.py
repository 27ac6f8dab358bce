# SAFE-A with keys that are fine-tuned after SAFE. CHECKPOINT is SAFE's or
# SAFE-A's for the same task.
#
#   python tools/train.py configs/safe-a-f.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data --cfg-options \
#       load_from=CHECKPOINT
#
# Trains N * K * D parameters. The schedule is Tip-Adapter-F's here.
_base_ = ['./tip-adapter-f.py']

model = dict(neck=dict(type='safe_mm.BlendedAttentionPool', beta=0.5, frozen=True))
