"""Training and testing by the tools, on drawn pictures."""

import copy
import shutil
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.runner import Runner

from safe_mm.checkpoint import read_checkpoint
from safe_mm.clip import SplitCLIP
from safe_mm.engine import ResumableEarlyStoppingHook
from safe_mm.methods.zero_shot import text_class_weights
from safe_mm.prompts import class_prompts
from safe_mm.registry import MODELS

from .conftest import CONFIG, TINY_RN, config, fails, metrics, run_tool, short, training, weights
from .shapes import draw_shapes


def test_checkpoints_are_slim_and_safe(trained):
    names = sorted(p.name for p in trained.glob('*.pth'))
    assert len(names) == 3 and names[1:] == ['iter_120.pth', 'iter_90.pth']
    best = torch.load(trained / names[0], weights_only=True)
    assert 'optimizer' not in best
    keys = best['state_dict'].keys()
    assert [k for k in keys if not k.startswith('neck.attn_pool_f.')] == [
        'backbone.frozen_sha256',
        'neck.frozen_sha256',
        'head.logit_scale',
        'head.class_weights',
    ]
    assert not any('ln_post' in k or k.endswith('.proj') for k in keys)
    assert best['meta']['dataset_meta']['classes'][0] == 'blue_shape'
    assert 'tiny-vit.json' in best['meta']['cfg']
    last = torch.load(trained / 'iter_120.pth', weights_only=True)
    assert last['meta']['iter'] == 120 and 'param_schedulers' in last


def test_rn50_trains_59_mb():
    clip = dict(model_name='RN50', pretrained=None)
    neck = MODELS.build(dict(type='safe_mm.BlendedAttentionPool', clip=clip))
    size = sum(4 * p.numel() for p in neck.parameters() if p.requires_grad)
    assert 58e6 < size < 60e6


def tensors(model: torch.nn.Module) -> dict:
    """All parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize('clip', [[], ['--clip', f'{TINY_RN}:None']], ids=['ViT', 'ResNet'])
def test_frozen_tensors_stay_bit_identical(shapes, tmp_path, clip):
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *clip,
        *short(50, 'train_cfg.val_interval=25'),
    )
    runner = Runner.from_cfg(cfg)
    before = copy.deepcopy(tensors(runner.model))
    runner.train()
    for name, value in tensors(runner.model).items():
        tuned = name.startswith('neck.attn_pool_f.') and not any(
            part in name for part in ('ln_post', 'f.proj', 'k_proj.bias')
        )
        assert torch.equal(value, before[name]) != tuned, name


def test_test_tool(trained, shapes, tmp_path):
    accuracy = metrics(CONFIG, trained, '--data-root', shapes, *short(120))['accuracy/top1']
    assert accuracy > 60  # colours are easy; chance is 16.7

    out = tmp_path / 'pred.pkl'
    run_tool(
        'test',
        CONFIG,
        next(trained.glob('best_*.pth')),
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        '--out',
        out,
        '--tta',
        *short(120),
    )
    predictions = mmengine.load(out)
    hits = [bool(p['pred_label'] == p['gt_label']) for p in predictions]
    assert len(hits) == 36 and 100 * sum(hits) / 36 > 60


def test_pictures_of_predictions(trained, shapes, tmp_path):
    run_tool(
        'test',
        CONFIG,
        trained,
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        '--show-dir',
        tmp_path / 'show',
        '--interval',
        '12',
        *short(120),
    )
    assert list((tmp_path / 'show').glob('*.png'))


def test_variant(trained, shapes, tmp_path):
    file, out = tmp_path / 'config.py', tmp_path / 'out.pkl'
    file.write_text(f"_base_ = ['{CONFIG}']\nvariants = dict(both=dict(mirror=True))\n")
    options = ['--data-root', shapes, '--work-dir', tmp_path, *short(120)]
    run_tool('test', file, trained, '--variant', 'both', '--out', out, *options)
    assert len(mmengine.load(out)) == 72
    fails(
        '--variant none is not known; the data has both',
        'test',
        file,
        trained,
        '--variant',
        'none',
        *options,
    )


def test_mmpretrain_inferencer(trained, shapes):
    """A checkpoint works in mmpretrain's own interface."""
    from mmpretrain import ImageClassificationInferencer

    cfg = config('--data-root', shapes)
    inferencer = ImageClassificationInferencer(
        cfg, pretrained=str(next(trained.glob('best_*.pth')))
    )
    result = inferencer(str(Path(shapes, 'shapes/red_shape/000.png')))[0]
    assert result['pred_class'] in inferencer.classes


def test_early_stopping(shapes, tmp_path):
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(
            30,
            'train_cfg.val_interval=3',
            'optim_wrapper.optimizer.lr=0.',
            'default_hooks.checkpoint.interval=3',
        ),
    )
    cfg.custom_hooks.append(dict(type='safe_mm.ResumableEarlyStoppingHook', patience=2))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 6  # the first score, at the start, and twice none better
    assert list(tmp_path.glob('best_*_iter_0.pth'))  # ties to the earliest

    hook = ResumableEarlyStoppingHook(patience=2)
    runner.message_hub.load_state_dict(read_checkpoint(str(tmp_path / 'iter_3.pth'))['message_hub'])
    hook.before_train(runner)
    assert hook.wait_count == 1 and hook.best_score > 0
    assert not runner.train_loop.stop_training
    runner.message_hub.update_info('early_stopping', [2, 50.0])
    hook.before_train(runner)
    assert runner.train_loop.stop_training  # a stopped run stays so


def test_templates_of_the_dataset(trained, shapes, tmp_path):
    for name, options in (
        ('dataset', ['model.classes.templates=openai_imagenet_sub']),
        ('model', ['model.templates=openai_imagenet_sub']),
    ):
        run_tool(*training(shapes, tmp_path / name), *short(8, *options))
    clip = SplitCLIP(**config('--data-root', shapes).model.clip)
    for templates, file in (
        ('a {}.', trained / 'iter_120.pth'),  # the config's
        ('openai_imagenet_sub', tmp_path / 'dataset' / 'iter_8.pth'),
        ('openai_imagenet_sub', tmp_path / 'model' / 'iter_8.pth'),
    ):
        expected = text_class_weights(
            class_prompts(
                [f'{c}_shape' for c in ('blue', 'green', 'orange', 'purple', 'red', 'yellow')],
                templates,
            ),
            clip.encode_text,
        )
        saved = weights(file)['head.class_weights']
        torch.testing.assert_close(saved, expected)


def test_two_classes(tmp_path):
    draw_shapes(tmp_path, images=10)
    for color in ('green', 'blue', 'yellow', 'purple'):
        shutil.rmtree(tmp_path / 'shapes' / f'{color}_shape')
    run_tool('train', CONFIG, '--data-root', tmp_path, '--work-dir', tmp_path / 'work', *short(8))
    assert list((tmp_path / 'work').glob('best_*'))
