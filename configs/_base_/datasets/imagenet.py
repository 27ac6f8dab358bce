# ImageNet: trained on train, tested on val. Validation images are drawn from
# what the few-shot sample left of train.
_base_ = './few_shot.py'

dataset = dict(
    data_prefix='imagenet/images',
    ann_file='imagenet/classnames.txt',
    templates='openai_imagenet_sub',
    num_classes=1000)

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
