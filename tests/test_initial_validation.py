"""Validation before the first iteration: a candidate like any other."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from safe_mm.checkpoint import read_checkpoint
from safe_mm.engine import enable_joint_training
from safe_mm.registry import MODELS

from .conftest import CONFIG, ROOT, config, run_tool, short, weights
from .methods import METHODS, options, write_config
from .sweeps import results
from .two_processes import run_in_two

STAYS = 'optim_wrapper.optimizer.lr=0.'  # every validation equals the first


class Watch(Hook):
    """Notes at which iterations there is a validation, and what it finds."""

    def __init__(self) -> None:
        self.found = {}

    def after_val_epoch(self, runner, metrics: dict) -> None:
        self.found[runner.iter] = metrics

    def iterations(self) -> list:
        return list(self.found)


def train(cfg: Config, name: str) -> Watch:
    """Trains, watched."""
    cfg.experiment_name = name
    runner, watch = Runner.from_cfg(cfg), Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


def files(folder) -> list:
    return sorted(file.name for file in folder.glob('*.pth'))


def test_the_start_is_a_candidate_and_wins_ties(shapes, tmp_path):
    """Nothing is saved beside it, and it is zero-shot CLIP."""
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(8, STAYS, 'train_cfg.val_interval=4', 'default_hooks.checkpoint.interval=4'),
    )
    watch = train(cfg, str(tmp_path))
    assert watch.iterations() == [0, 4, 8]
    assert len({str(metrics) for metrics in watch.found.values()}) == 1
    assert files(tmp_path) == ['best_accuracy_top1_iter_0.pth', 'iter_4.pth', 'iter_8.pth']
    saved = weights(tmp_path / 'best_accuracy_top1_iter_0.pth')
    start = MODELS.build(cfg.model).state_dict()
    for key, value in saved.items():
        assert torch.equal(value, start[key]), key


def test_what_is_better_takes_its_place(trained):
    (best,) = trained.glob('best_*.pth')
    assert int(best.stem.split('_')[-1]) > 0
    assert not (trained / 'iter_0.pth').exists()


@pytest.mark.parametrize(
    'option, iterations',
    [
        ('train_cfg.val_begin=2', [4]),
        ('train_cfg.val_begin=99', []),
        ('train_cfg.max_iters=0', []),
        ('train_cfg.val_interval=2', [0, 2, 4]),
    ],
)
def test_where_it_is_left_out(shapes, tmp_path, option, iterations):
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(4, 'param_scheduler=None', 'train_cfg.val_interval=4', option),
    )
    assert train(cfg, f'{tmp_path}{option}').iterations() == iterations


def test_runs_without_validation(shapes, tmp_path):
    args = ['--data-root', shapes, '--work-dir', tmp_path, '--no-validate']
    run_tool('train', CONFIG, *args, *short(6))
    assert files(tmp_path) == ['iter_6.pth']


def test_configs_have_it_and_pretraining_has_not():
    for file in sorted((ROOT / 'configs').glob('**/*.py')):
        if '_base_' not in file.parts:
            has = 'InitialValidationHook' in str(Config.fromfile(file).custom_hooks)
            assert has == ('pretrain' not in file.parts), file


def test_a_resumed_run_does_not_repeat_it(shapes, tmp_path):
    """Its result is kept: no later validation is better."""
    args = [
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(8, STAYS, 'train_cfg.val_interval=4', 'default_hooks.checkpoint.interval=4'),
    ]
    train(config(*args), 'whole')
    (tmp_path / 'iter_8.pth').unlink()  # killed after iteration 4
    cfg = config(*args)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_4.pth')
    watch = train(cfg, 'resumed')
    assert watch.iterations() == [8]
    assert files(tmp_path) == ['best_accuracy_top1_iter_0.pth', 'iter_4.pth', 'iter_8.pth']
    info = read_checkpoint(str(tmp_path / 'iter_8.pth'))['message_hub']['runtime_info']
    assert info['best_ckpt'].endswith('iter_0.pth')


@pytest.mark.parametrize('seeds', [[], [2, 5]])
def test_joint_training_has_it(shapes, tmp_path, seeds):
    """The setting is none: all of them start the same alone."""
    args = ['--data-root', shapes, *short(8, STAYS, 'train_cfg.val_interval=4')]
    cfg = config('--work-dir', tmp_path / 'joint', *args)
    settings = [dict(lr=0.0, weight_decay=decay) for decay in (0.5, 0.0)]
    enable_joint_training(cfg, settings, seeds)
    watch = train(cfg, f'joint{len(seeds)}')
    assert watch.iterations() == [0, 4, 8]
    names = [f'best_seed{seed}_accuracy_top1_iter_0.pth' for seed in seeds]
    assert files(tmp_path / 'joint') == (names or ['best_accuracy_top1_iter_0.pth'])
    log = next((tmp_path / 'joint').glob('*/*.log')).read_text()
    assert log.count('no setting gets above the start, which is chosen') == max(1, len(seeds))
    for seed, name in zip(seeds or [1], files(tmp_path / 'joint')):
        alone = config('--work-dir', tmp_path / str(seed), '--seed', seed, *args)
        train(alone, f'alone{len(seeds)}{seed}')
        best = tmp_path / str(seed) / 'best_accuracy_top1_iter_0.pth'
        torch.testing.assert_close(weights(tmp_path / 'joint' / name), weights(best))


@pytest.fixture
def tip_adapter_f(shapes, tmp_path):
    """Tip-Adapter-F with keys that stay as they were fitted."""
    by_name = {method.name: method for method in METHODS}
    more = 'optim_wrapper = dict(optimizer=dict(lr=0.0))', 'search = dict(alpha=[5], gamma=[5])'
    file = write_config(by_name['tip-adapter-f'], tmp_path, shapes, *more)
    return file, options('--cfg-options', 'train_cfg.val_interval=4')


def test_a_head_fitted_before_has_been_fitted(tip_adapter_f, tmp_path):
    """The start of Tip-Adapter-F is Tip-Adapter, on one process or two."""
    file, args = tip_adapter_f
    run_tool('train', file, *args[:-2], '--work-dir', tmp_path / '1', *args[-2:])
    run_in_two('train', file, *args[:-2], '--work-dir', tmp_path / '2', *args[-2:])
    name = 'best_accuracy_top1_iter_0.pth'
    one, two = (weights(tmp_path / n / name) for n in '12')
    assert one['head.keys'].norm(dim=-1).min() > 0.99
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    last = weights(tmp_path / '1' / 'iter_4.pth')
    assert torch.equal(one['head.keys'], last['head.keys'])


@pytest.mark.parametrize('grid', [True, False])
def test_a_sweep_tests_the_start_where_nothing_is_better(shapes, tmp_path, grid):
    """Of a grid, it is none of the settings."""
    by_name = {method.name: method for method in METHODS}
    file = write_config(
        by_name['safe'],
        tmp_path / 'configs',
        shapes,
        'optim_wrapper = dict(optimizer=dict(lr=0.0))',
        'grid = dict(lr=[0.0], weight_decay=[0.0, 0.1])',
    )
    run_tool(
        'sweep', file, '--clips', 'creatures-rn', '--shots', 1, '--seeds', 1, '--work-dir',
        tmp_path / 'sweep', *(['--grid'] if grid else []),
    )  # fmt: skip
    (result,) = results(tmp_path).values()
    figures = result['test']['test']
    assert figures['accuracy'] == figures['zero-shot'] == figures['beta=0']
    assert (result['setting'] == {}) == grid
    assert list((tmp_path / 'sweep').rglob('best_accuracy_top1_iter_0.pth'))
