# The paper's schedule (Sec. IV-A): AdamW, batches of 8, 12,800 iterations,
# 50 of warm-up, cosine to zero, see docs/protocol.md. lr and weight_decay are
# one point of its grid; with --grid all are trained in one pass, and
# validation chooses.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-5, weight_decay=1e-3))

grid = dict(lr=[1e-4, 1e-5, 1e-6, 1e-7], weight_decay=[0, 1e-3, 1e-5])

param_scheduler = [
    dict(type='safe_mm.WarmupLR', start_lr=1e-5, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=12800),
]

train_cfg = dict(by_epoch=False, max_iters=12800, val_interval=100)
val_cfg = dict()
test_cfg = dict()

auto_scale_lr = dict(base_batch_size=8)  # used with --auto-scale-lr
