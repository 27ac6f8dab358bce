# UCF101, the middle frame of each film, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'ucf101'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='ucf101/UCF-101-midframes',
    ann_file='ucf101/split_zhou_UCF101.json',
    exif=False,
    templates='a photo of a person doing {}.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
