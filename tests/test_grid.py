"""Settings trained side by side, each as it would be alone."""
import copy

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain import get_model
from torch.nn.functional import cross_entropy

from safe_mm.clip import split_clip
from safe_mm.engine import settings_of, train_together
from safe_mm.engine.grid_loops import best_run
from safe_mm.evaluation import deployed_accuracy
from safe_mm.models import RunStack
from safe_mm.pooled import pool_all

from .conftest import CONFIG, config, fails, run_tool, short, weights

GRID = ['grid.lr=[1e-2,1e-3,0]', 'grid.weight_decay=[0.5,0]']


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('batch', [1, 5])
@pytest.mark.parametrize('seeds', [1, 2])
@pytest.mark.parametrize('way', ['forward', 'all_at_once'])
def test_stack_is_its_pools(tiny_clip, dtype, batch, seeds, way):
    """Outputs, and gradients of the sum of losses."""
    split = split_clip(**tiny_clip)
    torch.manual_seed(0)
    size = split.image_size
    features = split.trunk(torch.randn(seeds * batch, 3, size, size)).to(dtype)
    features = features.detach()
    stack = RunStack(split.pool, 3, seeds).to(dtype)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    alone = copy.deepcopy(stack.pools)

    pooled = getattr(stack, way)(features)
    expected = torch.stack([
        pool(features[i // 3 * batch:][:batch]) for i, pool in enumerate(alone)
    ])
    close = dict(rtol=1e-5, atol=1e-5) if dtype == torch.float32 else dict(
        rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(pooled, expected, **close)
    for total in (pooled, expected):
        (total**3).sum().backward()
    for mine, theirs in zip(stack.parameters(), alone.parameters()):
        if mine.requires_grad:
            scale = theirs.grad.abs().max().clamp(min=1)
            torch.testing.assert_close(
                mine.grad / scale, theirs.grad / scale, **close)


@pytest.fixture(scope='module')
def work_dir(shapes, tmp_path_factory):
    """Of a grid of six settings."""
    folder = tmp_path_factory.mktemp('grid')
    run_tool('train', CONFIG, '--grid', '--data-root', shapes, '--work-dir',
             folder, *short(20, 'train_cfg.val_interval=10', *GRID))
    return folder


def test_every_setting_is_as_if_alone(shapes, tmp_path):
    """Not the chosen one only."""
    options = ['--data-root', shapes, '--work-dir', tmp_path,
               *short(10, *GRID)]
    cfg = config(*options)
    train_together(cfg, settings_of(cfg))
    cfg.experiment_name = 'grid'
    runner = Runner.from_cfg(cfg)
    stack = runner.model.neck.attn_pool_f
    runner.train()
    settings = cfg.optim_wrapper.paramwise_cfg.settings
    ends = []
    for number in (0, 1, 2, 4):
        alone = config(*options)
        alone.optim_wrapper.optimizer.update(settings[number])
        alone.experiment_name = f'alone{number}'
        lone = Runner.from_cfg(alone)
        lone.train()
        mine = stack.pools[number].state_dict()
        ends.append(lone.model.neck.attn_pool_f.state_dict())
        torch.testing.assert_close(mine, ends[-1], rtol=0, atol=1e-5)
    key = 'block.mlp.c_fc.weight'
    for one, two in zip(ends, ends[1:]):  # and the settings matter
        assert (one[key] - two[key]).abs().max() > 1e-4


def validated(shapes, tmp_path, *grid):
    """A grid that was validated once: its runner, the accuracies that it
    noted, and accuracy and loss of each layer on features pooled anew.
    """
    cfg = config('--data-root', shapes, '--work-dir', tmp_path,
                 *short(10, 'train_cfg.val_interval=10', *grid))
    train_together(cfg, settings_of(cfg))
    cfg.experiment_name = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    model, stack = runner.model, runner.model.neck.attn_pool_f
    runner.train()
    accuracies, losses = [], []
    for pool in stack.pools:
        model.neck.attn_pool_f = pool
        pooled = pool_all(model, runner.val_loop.dataloader)
        accuracies.append(deployed_accuracy(model, pooled))
        logits = model.head((pooled.merged(model.neck.beta), ))
        losses.append(cross_entropy(logits, pooled.labels).item())
    found = [s['validation'] for s in runner.message_hub.get_info('grid')]
    return runner, found, accuracies, losses


def test_every_setting_is_validated_as_if_alone(shapes, tmp_path):
    _, found, expected, _ = validated(shapes, tmp_path, *GRID)
    assert found == pytest.approx(expected)
    assert len(set(found)) > 1  # and the settings matter


def test_of_equals_the_least_loss_is_chosen(shapes, tmp_path):
    """Of three equal settings the order is not what decides."""
    runner, found, _, losses = validated(
        shapes, tmp_path, 'grid.lr=[0,1e-6,1e-5]', 'grid.weight_decay=[0]')
    assert len(set(found)) == 1
    best = losses.index(min(losses))
    assert best > 0
    assert runner.message_hub.get_info(
        'setting') == runner.val_loop.settings[best]


@pytest.mark.parametrize('scores, losses, best', [
    ([1, 3, 2], [0, 9, 0], 1), ([3, 3, 2], [2, 1, 0], 1),
    ([3, 3, 3], [1, 1, 2], 0), ([3, 3], [float('nan'), 1], 1)
])
def test_best_run(scores, losses, best):
    assert best_run(scores, losses) == best


def test_chosen_setting_is_as_if_alone(shapes, tmp_path, work_dir):
    """The chosen weights are those of a run with that setting, 1e-5."""
    best, = work_dir.glob('*.pth')  # nothing else is saved
    log = next(work_dir.glob('*/*.log')).read_text()
    chosen = next(line for line in log.splitlines() if line.endswith('chosen'))
    lr, decay = (chosen.split(f'{key}=')[1].split()[0]
                 for key in ('lr', 'weight_decay'))
    run_tool('train', CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
             *short(20, 'train_cfg.val_interval=10',
                    f'optim_wrapper.optimizer.lr={lr}',
                    f'optim_wrapper.optimizer.weight_decay={decay}'))
    found = weights(best)
    for key, value in weights(tmp_path / best.name).items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)


def test_report_names_every_setting(work_dir):
    log = next(work_dir.glob('*/*.log')).read_text()
    lines = [line for line in log.splitlines() if ' validation=' in line]
    assert len(lines) == 6
    accuracy = [
        float(line.split('validation=')[1].split()[0]) for line in lines
    ]
    chosen = [line.endswith('chosen') for line in lines]
    assert sum(chosen) == 1
    assert accuracy[chosen.index(True)] == max(accuracy) > min(accuracy)


def test_config_in_the_work_dir_is_for_inference(shapes, work_dir):
    """It has the stack, and takes the best run's layer in its place."""
    best, = work_dir.glob('*.pth')
    alone = get_model(config('--data-root', shapes), pretrained=str(best))
    model = get_model(str(work_dir / 'tiny.py'), pretrained=str(best))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = alone.extract_feat(x)
        torch.testing.assert_close(model.extract_feat(x), features)
        assert features[0].dim() == 2


def test_chosen_weights_are_an_ordinary_models(shapes, work_dir, tmp_path):
    run_tool('test', CONFIG, work_dir, '--data-root', shapes, '--work-dir',
             tmp_path, *short(20))


@pytest.mark.parametrize('option, message', [
    ('optim_wrapper.clip_grad.max_norm=1', 'clip_grad'),
    ('optim_wrapper.paramwise_cfg.norm_decay_mult=0', 'paramwise_cfg'),
    ('optim_wrapper.type=AmpOptimWrapper', 'mixed precision'),
    ('param_scheduler.1.type=ReduceOnPlateauLR', 'ReduceOnPlateau'),
    ('custom_hooks.0.type=safe_mm.ResumableEarlyStoppingHook', 'stopping'),
    ('default_hooks.ema.type=EMAHook', 'EMAHook'),
    ('load_from=best.pth', 'load_from'),
    ('optim_wrapper.constructor=Mine', 'constructor'),
    ('val_cfg.type=MyLoop', 'val_cfg.type'),
    ('default_hooks.checkpoint.type=CheckpointHook', 'SlimCheckpointHook'),
    ('custom_hooks.1.trainable=[neck.attn_pool_f.*,backbone.*]', 'backbone'),
    ('default_hooks.checkpoint.save_best=auto', "save_best='auto'"),
    ('train_cfg.val_begin=99999', 'without validation'),
    ('grid.lr=1e-3', 'a grid needs'),
    ('grid.lr=[]', 'a grid needs'),
    ('grid.beta=[1]', 'a grid needs'),
])
def test_what_would_mix_runs(shapes, option, message):
    fails(message, 'train', CONFIG, '--grid', '--data-root', shapes,
          '--cfg-options', option)


@pytest.mark.parametrize('option', ['--resume', '--no-validate'])
def test_what_a_grid_cannot_do(shapes, option):
    fails(f'--grid and --seeds .*{option}', 'train', CONFIG, '--grid', option,
          '--data-root', shapes)
