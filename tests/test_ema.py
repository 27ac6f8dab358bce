"""mmengine's EMAHook, with methods that are trained, fitted or interpolated."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from .conftest import CONFIG, fails, metrics, run_tool, short, training, weights
from .methods import METHODS, options, write_config

EMA = ['default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.2']
KEY = 'neck.attn_pool_f.block.ln_1.weight'


@HOOKS.register_module()
class NoteWeights(Hook):
    """Notes a tensor after each iteration."""

    seen = []

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self.seen.append(runner.model.state_dict()[KEY].clone())


def test_train_resume_and_test(shapes, tmp_path):
    """What is saved is the average, and a resumed run goes on with both."""
    whole, broken, own = tmp_path / 'whole', tmp_path / 'broken', short(16, *EMA)
    own += ['train_cfg.val_interval=8', 'default_hooks.checkpoint.interval=4']
    NoteWeights.seen.clear()
    run_tool(*training(shapes, whole), *own, 'default_hooks.note.type=NoteWeights')
    average = NoteWeights.seen[0]
    for step in NoteWeights.seen[1:]:
        average = average.lerp(step, 0.2)
    assert not torch.equal(average, NoteWeights.seen[-1])
    assert torch.allclose(weights(whole / 'iter_16.pth')[KEY], average, atol=1e-6)

    run_tool(*training(shapes, broken), *own)
    (broken / 'iter_16.pth').unlink()
    run_tool(*training(shapes, broken), '--resume', *own)
    expected, actual = weights(whole / 'iter_16.pth'), weights(broken / 'iter_16.pth')
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[key], actual[key]) for key in expected)

    found = [metrics(CONFIG, whole, '--data-root', shapes, *short(16, *more)) for more in (EMA, [])]
    assert found[0] == found[1]


@pytest.mark.parametrize('name', ['safe_gda', 'wise-ft'])
def test_fit_and_interpolation(name, shapes, tmp_path):
    """Of the average, which the file of the result has."""
    (method,) = (own for own in METHODS if own.name == name)
    file, work_dir = write_config(method, tmp_path, shapes), tmp_path / 'run'
    run_tool('train', file, *options(), '--work-dir', work_dir, '--cfg-options', *EMA)
    (fitted,) = work_dir.glob('best_fitted_*.pth')
    (best,) = work_dir.glob('best_accuracy*.pth')
    before, after = weights(best), weights(fitted)
    trained = [key for key in before if key.startswith('neck.attn_pool_f')]
    same = all(torch.equal(before[key], after[key]) for key in trained)
    assert same == (name == 'safe_gda')
    if same:
        assert not before['head.finished'] and after['head.finished']
        assert after['head.weight'].any()


def test_fit_before_training(shapes, tmp_path):
    (method,) = (own for own in METHODS if own.name == 'tip-adapter-f')
    file = write_config(method, tmp_path, shapes)
    own = ['--work-dir', tmp_path / 'run', '--cfg-options', *EMA]
    fails('EMAHook does not support CacheHead.*Remove it', 'train', file, *options(), *own)
