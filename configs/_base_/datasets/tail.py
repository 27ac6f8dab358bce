# Drawn creatures, see creatures.py.
_base_ = './creatures.py'

dataset_name = 'tail'
dataset = dict(task='tail')

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
