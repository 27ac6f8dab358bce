# FGVC-Aircraft, by its own lists of variants.
_base_ = '../few_shot.py'

dataset_name = 'fgvcaircraft'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='fgvc_aircraft/images',
    ann_file='fgvc_aircraft/variants.txt',
    exif=False,
    templates='a photo of a {}, a type of aircraft.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
