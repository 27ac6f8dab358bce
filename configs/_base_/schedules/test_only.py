# Nothing is trained.
train_cfg = None
val_cfg = None
test_cfg = dict()
