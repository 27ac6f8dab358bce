# Caltech101, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'caltech101'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='caltech-101/101_ObjectCategories',
    ann_file='caltech-101/split_zhou_Caltech101.json',
    exif=False,
    templates='a photo of a {}.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
