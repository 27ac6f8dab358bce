"""All methods in two processes: the same training, resume and test as in one."""

import shutil

import pytest
import torch
from mmengine.config import Config

from .conftest import metrics, weights
from .methods import IN_TWO, OWN, best, best_score, named, own_options, tolerance
from .two_processes import run_in_two


@named(OWN)
def test_two_processes_equal_one(method, train_method, tmp_path):
    """With half the batch each."""
    file, work_dir = train_method(method)
    half = Config.fromfile(file).train_dataloader.batch_size // 2
    run_in_two(
        'train',
        file,
        *own_options(
            method, '--work-dir', tmp_path, '--cfg-options', f'train_dataloader.batch_size={half}'
        ),
    )
    one, two = weights(best(work_dir)), weights(best(tmp_path))
    for key, value in one.items():
        if method.exact or not key.startswith('head.'):
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-4)
    assert best_score(work_dir) == pytest.approx(best_score(tmp_path), abs=tolerance(method))
    if method.name in IN_TWO:
        resume_in_two(method, file, tmp_path, half)
        check_test_in_two(method, file, tmp_path)


def resume_in_two(method, file, work_dir, batch_size):
    """To the same bits, from half its length; what is fitted alone is fitted again."""
    again = work_dir / 'again'
    again.mkdir()
    for half in [*work_dir.glob('iter_2.pth'), *work_dir.glob('best_accuracy*_[02].pth')]:
        shutil.copy(half, again)
    more = ('--cfg-options', f'train_dataloader.batch_size={batch_size}')
    resume = ['--resume'] * any(again.iterdir())
    run_in_two('train', file, *own_options(method, '--work-dir', again, *resume, *more))
    one, two = weights(best(work_dir)), weights(best(again))
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


def check_test_in_two(method, file, work_dir):
    """To the metrics of one process."""
    args = [file, work_dir, '--clip', method.clip]
    assert metrics(*args) == metrics(*args, run=run_in_two)
