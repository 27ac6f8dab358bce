# EuroSAT, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'eurosat'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='eurosat/2750',
    ann_file='eurosat/split_zhou_EuroSAT.json',
    exif=False,
    templates='a centered satellite photo of {}.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
