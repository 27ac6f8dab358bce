# SUN397, by the published split.
_base_ = './few_shot.py'

dataset = dict(
    data_prefix='sun397/SUN397',
    ann_file='sun397/split_zhou_SUN397.json',
    templates='a photo of a {}.')

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
