"""Few-shot samples trained in one pass, each as it would be alone."""

import pytest
import torch
from mmengine.runner import Runner

from safe_mm.engine import enable_joint_training, expand_grid

from .conftest import CONFIG, config, fails, run_tool, short, weights

GRID = ['grid.lr=[1e-2,1e-3]', 'grid.weight_decay=[0.5]']
SEEDS = (2, 5)


def ends(cfg, name: str) -> list:
    """Weights of each pooling layer after training."""
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    runner.train()
    model = runner.model
    necks = [own.neck for own in model.runs.copies] if (model.runs is not None) else [model.neck]
    return [neck.attn_pool_f.state_dict() for neck in necks]


@pytest.mark.parametrize('stored', [False, True])
def test_every_run_is_as_if_alone(shapes, tmp_path, stored):
    """Images by worker processes; more iterations than there are batches."""
    options = ['--data-root', shapes, '--work-dir', tmp_path, '--shots', 1, *short(10, *GRID)]
    if not stored:
        options += ['train_dataloader.num_workers=1']
    else:
        options += [
            'default_hooks.feature_cache.type=safe_mm.FeatureCacheHook',
            f'default_hooks.feature_cache.root={tmp_path}',
        ]
    cfg = config(*options)
    settings = expand_grid(cfg)
    enable_joint_training(cfg, settings, SEEDS)
    together = ends(cfg, f'together{stored}')
    alone = []
    for seed in SEEDS:
        for number, setting in enumerate(settings):
            own = config(*options, '--seed', seed)
            own.optim_wrapper.optimizer.update(setting)
            alone += ends(own, f'alone{stored}{seed}{number}')
    assert len(together) == len(alone) == 4
    for mine, own in zip(together, alone):
        torch.testing.assert_close(mine, own, rtol=0, atol=1e-5)
    key = 'block.mlp.c_fc.weight'
    for number, one in enumerate(alone):  # and all of them differ
        for other in alone[:number]:
            assert (one[key] - other[key]).abs().max() > 1e-4


@pytest.fixture(scope='module')
def work_dir(shapes, tmp_path_factory):
    """Of two seeds with two settings each."""
    folder = tmp_path_factory.mktemp('seeds')
    run_tool(
        'train',
        CONFIG,
        '--grid',
        '--seeds',
        *SEEDS,
        '--data-root',
        shapes,
        '--work-dir',
        folder,
        *short(20, 'train_cfg.val_interval=10', *GRID),
    )
    return folder


def test_each_seed_chooses_as_if_alone(shapes, work_dir, tmp_path):
    """The same best iteration, setting and weights."""
    assert len(list(work_dir.glob('*.pth'))) == len(SEEDS)
    report = next(work_dir.glob('*/*.log')).read_text()
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        run_tool(
            'train',
            CONFIG,
            '--grid',
            '--seed',
            seed,
            '--data-root',
            shapes,
            '--work-dir',
            folder,
            *short(20, 'train_cfg.val_interval=10', *GRID),
        )
        (best,) = folder.glob('*.pth')
        mine = work_dir / best.name.replace('best_', f'best_seed{seed}_')
        torch.testing.assert_close(weights(mine), weights(best), rtol=0, atol=1e-5)
        lines = next(folder.glob('*/*.log')).read_text().splitlines()
        told = [line.split(' - ')[-1] for line in lines if ' validation=' in line]
        assert len(told) == 2
        assert all(f'seed{seed} {line}' in report for line in told)


def test_seeds_without_a_grid_are_of_the_configs_setting(shapes, tmp_path, monkeypatch):
    """Its work dir names the seeds."""
    monkeypatch.chdir(tmp_path)
    options = ['--shots', 2, '--data-root', shapes, *short(8)]
    run_tool('train', CONFIG, '--seeds', 1, 3, *options)
    run_tool('train', CONFIG, '--seed', 3, *options)
    (mine,) = tmp_path.glob('work_dirs/tiny/shapes_shots2_seed1-3/best_seed3_*')
    (own,) = tmp_path.glob('work_dirs/tiny/shapes_shots2_seed3/best_*')
    found, expected = weights(mine), weights(own)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)


def test_a_seeds_weights_are_an_ordinary_models(shapes, work_dir, tmp_path):
    best = next(work_dir.glob('best_seed5_*.pth'))
    options = ['--data-root', shapes, '--work-dir', tmp_path, *short(20)]
    run_tool('test', CONFIG, best, *options)
    fails('several seeds. Use one of', 'test', CONFIG, work_dir, *options)


@pytest.mark.parametrize(
    'options, message',
    [
        (['1', '1'], 'seeds that repeat'),
        (['1', '2', '--seed', '1'], 'use one of --seeds'),
        (['1', '2', '--no-validate'], 'do not support'),
        (
            ['1', '2', '--cfg-options', 'train_dataloader.sampler.type=DefaultSampler'],
            'InfiniteSampler',
        ),
        (
            [
                '1',
                '2',
                '--cfg-options',
                'model.head.type=safe_mm.CacheHead',
                'search.alpha=[1]',
                'search.gamma=[1]',
            ],
            'several seeds with a head that is fitted',
        ),
        (['1', '2', '--cfg-options', 'val_dataloader.dataset.seed=9'], 'use one of --seeds'),
        (['1', '2', '--cfg-options', 'randomness.diff_rank_seed=True'], 'diff_rank_seed'),
        (['1', '2', '--cfg-options', 'model.train_cfg.augments.type=Mixup'], 'images are mixed'),
        (['1', '2', '--cfg-options', 'train_cfg.by_epoch=True'], 'train_cfg.by_epoch'),
        (
            ['1', '2', '--cfg-options', 'default_hooks.checkpoint.type=CheckpointHook'],
            'SlimCheckpointHook',
        ),
    ],
)
def test_seeds_that_do_not_go_together(shapes, options, message):
    fails(message, 'train', CONFIG, '--data-root', shapes, '--seeds', *options)
