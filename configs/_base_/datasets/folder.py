# Your own photos: --data-root is a folder with a folder for each class, or with
# train, val and test that have them, see docs/datasets.md.
_base_ = '../few_shot.py'

dataset_name = 'folder'
dataset = dict(
    type='safe_mm.FewShotDataset', data_root='data', data_prefix='', templates='a photo of a {}.'
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
