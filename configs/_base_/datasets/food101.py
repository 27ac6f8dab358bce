# Food-101, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'food101'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='food-101/images',
    ann_file='food-101/split_zhou_Food101.json',
    exif=False,
    templates='a photo of {}, a type of food.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
