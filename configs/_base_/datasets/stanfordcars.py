# Stanford Cars, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'stanfordcars'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='stanford_cars',
    ann_file='stanford_cars/split_zhou_StanfordCars.json',
    exif=False,
    templates='a photo of a {}.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
