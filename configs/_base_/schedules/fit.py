# No iterations: the head is fitted in closed form, and hyper-parameters are
# chosen on the validation images. mmengine asks for an optimizer.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.0))
param_scheduler = None
train_cfg = dict(by_epoch=False, max_iters=0)
val_cfg = dict()
test_cfg = dict()
