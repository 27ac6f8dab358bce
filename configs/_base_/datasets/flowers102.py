# Oxford Flowers 102, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'flowers102'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='oxford_flowers/jpg',
    ann_file='oxford_flowers/split_zhou_OxfordFlowers.json',
    exif=False,
    templates='a photo of a {}, a type of flower.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
