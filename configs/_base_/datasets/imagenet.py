# ImageNet: trained on train, tested on val. Validation images are drawn from
# what the few-shot sample left of train. The variants are out of the
# distribution of the training images.
_base_ = './few_shot.py'

dataset = dict(
    data_prefix='imagenet/images',
    ann_file='imagenet/classnames.txt',
    templates='openai_imagenet_sub')

train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
variants = dict(
    imagenet=dict(),
    imagenetv2=dict(
        data_prefix='imagenetv2/imagenetv2-matched-frequency-format-val'),
    imagenet_sketch=dict(data_prefix='imagenet-sketch/images'),
    imagenet_a=dict(data_prefix='imagenet-adversarial/imagenet-a'),
    imagenet_r=dict(data_prefix='imagenet-rendition/imagenet-r'))
