# Coloured shapes in a folder for each class, drawn by tools/draw_shapes.py.
_base_ = './caltech101.py'

dataset = dict(data_prefix='shapes', ann_file='', templates='a {}.')

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
