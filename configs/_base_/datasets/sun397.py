# SUN397, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'sun397'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='sun397/SUN397',
    ann_file='sun397/split_zhou_SUN397.json',
    exif=False,
    templates='a photo of a {}.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
