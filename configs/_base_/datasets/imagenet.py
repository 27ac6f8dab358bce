# ImageNet: trained on train, tested on val. Where split_ImageNet.json lies
# beside classnames.txt, it divides train into train and val, as published;
# elsewhere, validation images are what the few-shot sample left of train.
_base_ = '../few_shot.py'

dataset_name = 'imagenet'
dataset = dict(
    type='safe_mm.FewShotDataset',
    data_root='data',
    data_prefix='imagenet/images',
    ann_file='imagenet/classnames.txt',
    num_classes=1000,
    exif=False,
    templates='openai_imagenet_sub',
)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
