# Oxford-IIIT Pets, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'oxfordpets'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='oxford_pets/images',
    ann_file='oxford_pets/split_zhou_OxfordPets.json',
    exif=False,
    templates='a photo of a {}, a type of pet.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
