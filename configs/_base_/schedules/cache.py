# Tip-Adapter: nothing is trained; a cache is made and searched. The rate is
# that of Tip-Adapter-F, for 200 iterations on batches of 256 fixed views;
# its public code has 20 epochs of random crops.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, eps=1e-4, weight_decay=0.01))
param_scheduler = None
train_cfg = dict(by_epoch=False, max_iters=0)
val_cfg = dict()
test_cfg = dict()
