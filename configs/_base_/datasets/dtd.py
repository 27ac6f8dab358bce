# Describable Textures, by the published split.
_base_ = '../few_shot.py'

dataset_name = 'dtd'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='dtd/images',
    ann_file='dtd/split_zhou_DescribableTextures.json',
    exif=False,
    templates='{} texture.',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
