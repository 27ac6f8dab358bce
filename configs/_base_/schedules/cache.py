# Tip-Adapter: nothing is trained; a cache is made and searched.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, eps=1e-4))
param_scheduler = None
train_cfg = dict(by_epoch=False, max_iters=0)
val_cfg = dict()
test_cfg = dict()
