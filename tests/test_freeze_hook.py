"""Freezing in a model of mmpretrain's own, through the Runner."""

import copy

import pytest
import torch
from mmengine.runner import Runner, load_checkpoint
from torch.utils.data import Dataset

from safe_mm.errors import InputError
from safe_mm.models.freeze import freeze_except, frozen_modules
from safe_mm.registry import MODELS

RESNET = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=512),
)


class Noise(Dataset):
    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self):
        return 8

    def __getitem__(self, index):
        from mmpretrain.structures import DataSample

        generator = torch.Generator().manual_seed(index)
        return dict(
            inputs=torch.rand(3, self.size, self.size, generator=generator),
            data_samples=DataSample().set_gt_label(index % 3),
        )


def train(
    model: torch.nn.Module, trainable: list, tmp_path, size: int = 32, hooks: tuple = (), **settings
):
    """Trains for a few iterations; returns the runner."""
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=4,
            dataset=Noise(size),
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=3),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=False, T_max=10),
        custom_hooks=[dict(type='safe_mm.FreezeHook', trainable=trainable), *hooks],
        default_scope='mmpretrain',
        log_level='WARNING',
        experiment_name=tmp_path.name,
        **settings,
    )
    runner.train()
    return runner


def test_mmpretrain_resnet(tmp_path):
    """Only layer4 and the head change: no weights, no statistics besides."""
    model = MODELS.build(copy.deepcopy(RESNET))
    model.init_weights = lambda: None  # the start is compared to below
    before = copy.deepcopy(model.state_dict())
    runner = train(model, ['backbone.layer4.*', 'head.*'], tmp_path)
    for name, value in model.state_dict().items():
        tuned = name.startswith(('backbone.layer4.', 'head.'))
        assert torch.equal(value.cpu(), before[name]) != tuned, name
    held = {id(p) for g in runner.optim_wrapper.param_groups for p in g['params']}
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert held == trainable
    assert runner.optim_wrapper.param_groups[0]['lr'] < 1e-2  # scheduled
    assert model.backbone.layer4.training and not model.backbone.bn1.training


@pytest.mark.parametrize(
    'pattern,near',
    [
        ('backbone.layr4.*', r'backbone.layer4.\*'),
        ('neck.attn_pool_f.*', 'Near matches: .+'),
        ('head.fc.weigth', 'head.fc.weight'),
    ],
)
def test_pattern_without_match(pattern, near):
    with pytest.raises(InputError, match=near):
        freeze_except(MODELS.build(copy.deepcopy(RESNET)), [pattern])


def test_nothing_left_to_train():
    model = MODELS.build(copy.deepcopy(RESNET)).requires_grad_(False)
    with pytest.raises(InputError, match='itself has frozen.*head.fc'):
        freeze_except(model, ['head.*'])
    model.backbone.requires_grad_(True)  # one good pattern is not enough
    with pytest.raises(InputError, match='itself has frozen.*head.fc'):
        freeze_except(model, ['backbone.*', 'head.*'])


def test_frozen_modules_are_outermost():
    model = MODELS.build(copy.deepcopy(RESNET))
    freeze_except(model, ['backbone.layer4.*', 'head.*'])
    frozen = frozen_modules(model, ['backbone.layer4.*', 'head.*'])
    names = [n for n, m in model.named_modules() if any(m is f for f in frozen)]
    assert names == [
        'data_preprocessor',
        'backbone.conv1',
        'backbone.bn1',
        'backbone.relu',
        'backbone.maxpool',
        'backbone.layer1',
        'backbone.layer2',
        'backbone.layer3',
        'neck',
    ]


def test_dropout_rests_in_frozen_parts():
    model = torch.nn.ModuleDict(
        dict(
            frozen=torch.nn.Dropout(),
            tuned=torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()),
        )
    )
    assert frozen_modules(model, ['tuned.*']) == [model['frozen']]


def test_safe_in_a_stock_model(tiny_clip, tmp_path):
    """Our parts in mmpretrain's classifier, beside the hooks of our configs.

    The checkpoint is small, and fits the model without any hook.
    """

    def build() -> torch.nn.Module:
        parts = dict(backbone='CLIPTrunk', neck='BlendedAttentionPool', head='TextClsHead')
        parts = {name: dict(type=f'safe_mm.{part}', clip=tiny_clip) for name, part in parts.items()}
        parts['head']['classes'] = ['a', 'b', 'c']
        return MODELS.build(dict(type='ImageClassifier', **parts))

    model = build()
    before = copy.deepcopy(dict(model.named_parameters()))
    train(
        model,
        ['neck.attn_pool_f.*'],
        tmp_path,
        64,
        [dict(type='safe_mm.FitHook'), dict(type='safe_mm.FeatureCacheHook', root=str(tmp_path))],
        default_hooks=dict(checkpoint=dict(type='safe_mm.SlimCheckpointHook', save_best=None)),
    )
    for name, value in model.named_parameters():
        assert torch.equal(value.cpu(), before[name]) != value.requires_grad, name
    file = tmp_path / 'iter_3.pth'
    state = torch.load(file, weights_only=True)['state_dict']
    assert {name.split('.')[1] for name in state} == {
        'frozen_sha256',
        'attn_pool_f',
        'logit_scale',
        'class_weights',
    }
    again, images = build().eval(), torch.rand(2, 3, 64, 64)
    load_checkpoint(again, str(file), strict=True)
    with torch.no_grad():
        assert torch.equal(again(images), model.cpu().eval()(images))
