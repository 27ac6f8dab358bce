# Tip-Adapter-F: Tip-Adapter with fine-tuned keys (N * K * D parameters).
#
#   python tools/train.py configs/tip-adapter-f.py --dataset caltech101 \
#       --shots 16 --seed 1 --data-root data
#
# Departs from the published recipe: 200 iterations on the ten views of each
# image in place of 20 epochs, each of new views, and the iteration is chosen
# by few-shot validation; the public code chooses the epoch on test images.
_base_ = './tip-adapter.py'

model = dict(head=dict(train_keys=True))
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, eps=1e-4, weight_decay=0.01)
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=200)]
train_cfg = dict(max_iters=200, val_interval=20)
