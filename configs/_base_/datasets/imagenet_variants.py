# ImageNet, tested also on variants that are out of its distribution.
_base_ = './imagenet.py'

dataset_name = 'imagenet_variants'
variants = dict(
    imagenet=dict(),
    imagenetv2=dict(
        data_prefix='imagenetv2/imagenetv2-matched-frequency-format-val',
        ann_file={{_base_.dataset.ann_file}},
    ),
    imagenet_sketch=dict(
        data_prefix='imagenet-sketch/images', ann_file={{_base_.dataset.ann_file}}
    ),
    imagenet_a=dict(
        data_prefix='imagenet-adversarial/imagenet-a',
        ann_file={{_base_.dataset.ann_file}},
        num_classes=200,
    ),
    imagenet_r=dict(
        data_prefix='imagenet-rendition/imagenet-r',
        ann_file={{_base_.dataset.ann_file}},
        num_classes=200,
    ),
)
