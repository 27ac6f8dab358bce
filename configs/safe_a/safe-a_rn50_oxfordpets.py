# SAFE-A, CLIP RN50, Oxford-IIIT Pets.
#
#   python tools/train.py configs/safe_a/safe-a_rn50_oxfordpets.py \
#       --shots 16 --seed 1 --data-root data
_base_ = [
    '../_base_/models/safe-a_rn50.py',
    '../_base_/datasets/oxfordpets.py',
    '../_base_/schedules/safe_12800i.py',
    '../_base_/safe-a_runtime.py',
]
