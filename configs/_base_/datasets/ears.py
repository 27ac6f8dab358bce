# Drawn creatures, see creatures.py.
_base_ = './creatures.py'

dataset_name = 'ears'
dataset = dict(task='ears')

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
