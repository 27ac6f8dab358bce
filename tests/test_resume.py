"""Runs that are killed, resumed or repeated."""

import json
import os
import shutil

import mmengine
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from safe_mm.checkpoint import find_checkpoint, read_checkpoint

from .conftest import CONFIG, config, fails, run_tool, short, training, weights


def test_other_images_of_the_same_classes(data, tmp_path):
    """Are another run; the same in another folder are not."""
    moved, work_dir = tmp_path / 'moved', tmp_path / 'run'
    run_tool(*training(data, work_dir), *short(8))
    data.rename(moved)
    again = [*training(moved, work_dir), '--resume']
    run_tool(*again, *short(8))
    next((moved / 'shapes' / 'train').rglob('*.png')).unlink()
    fails('of another run, with train_images=.*--allow-changes', *again, *short(8))
    run_tool(*again, '--allow-changes', *short(8))
    fails(
        'would remove .*iter_8.pth before',
        *training(moved, work_dir),
        '--overwrite',
        *short(8, f'load_from={work_dir}/iter_8.pth'),
    )


def test_mixed_precision_goes_on_and_is_tested(shapes, tmp_path):
    """A run of two halves has the weights of one in one go; scores are rounded otherwise."""
    whole, halves = tmp_path / 'whole', tmp_path / 'halves'
    for work_dir, iters in ((whole, 16), (halves, 8)):
        run_tool(*training(shapes, work_dir), '--amp', *short(16, f'train_cfg.max_iters={iters}'))
    fails(
        'with optim_wrapper.type=.* in place of .*OptimWrapper',
        *training(shapes, halves),
        '--resume',
        *short(16),
    )
    run_tool(*training(shapes, halves), '--amp', '--resume', '--allow-changes', *short(16))
    one, two = (weights(work_dir / 'iter_16.pth') for work_dir in (whole, halves))
    assert one and all(torch.equal(one[name], two[name]) for name in one)

    scores = []
    for more in ([], ['--amp']):
        out = tmp_path / 'out.pkl'
        test = ['test', CONFIG, whole, '--data-root', shapes, '--work-dir', tmp_path]
        run_tool(*test, '--out', out, *more)
        scores.append(torch.stack([sample['pred_score'].float() for sample in mmengine.load(out)]))
    assert not torch.equal(*scores)
    torch.testing.assert_close(*scores, rtol=0, atol=0.05)


def test_work_dir_used_again(shapes, tmp_path):
    """By the same run, or by another one that may delete its checkpoints."""
    first, second = (short(iters, f'train_cfg.val_interval={iters}') for iters in (16, 8))
    run_tool(*training(shapes, tmp_path), *first)
    before = sorted(f.name for f in tmp_path.glob('*.pth'))
    line = 'iter_16.pth is of another run, with param_scheduler.1.end=16 in place of 8.*--overwrite'
    fails(line, *training(shapes, tmp_path), *second)
    fails('seed=1 in place of 2', *training(shapes, tmp_path), '--seed', 2, *first)
    assert sorted(f.name for f in tmp_path.glob('*.pth')) == before
    run_tool(*training(shapes, tmp_path), *first)
    run_tool(*training(shapes, tmp_path), '--overwrite', *second)
    assert find_checkpoint(str(tmp_path), 'best_*.pth').endswith('iter_8.pth')
    assert [f.name for f in tmp_path.glob('iter_*.pth')] == ['iter_8.pth']


def test_resume_with_another_learning_rate(trained, shapes, tmp_path):
    """Is refused unless it is asked for, and then takes effect."""
    longer = 'param_scheduler.1.end=120', 'train_cfg.max_iters=124', 'train_cfg.val_interval=30'
    longer += ('default_hooks.checkpoint.interval=30', 'default_hooks.logger.interval=1')
    resume = [
        *training(shapes, tmp_path),
        '--resume',
        trained / 'iter_90.pth',
        *short(120, *longer),
    ]
    rate = 'optim_wrapper.optimizer.lr=5e-4'
    fails('with optim_wrapper.optimizer.lr=0.001 in place of 0.0005', *resume, rate)
    rates = []
    for more in ([], [rate]):
        run_tool(*resume, *more, '--allow-changes', '--overwrite')
        log = max(tmp_path.glob('*/vis_data/scalars.json'), key=os.path.getmtime)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        rates.append([line['lr'] for line in lines if 'loss' in line])
    assert len(rates[0]) == len(rates[1]) > 30
    assert rates[1][:30] == pytest.approx([rate / 2 for rate in rates[0][:30]])


def test_resume_into_another_work_dir(trained, shapes, tmp_path):
    """The best so far comes along; the source keeps its own."""
    before = sorted(f.name for f in trained.glob('*.pth'))
    options = short(124, 'optim_wrapper.optimizer.lr=0.')
    run_tool(*training(shapes, tmp_path), '--resume', trained, '--allow-changes', *options)
    assert sorted(f.name for f in trained.glob('*.pth')) == before
    assert len(list(tmp_path.glob('best_*.pth'))) == 1
    assert (tmp_path / 'iter_124.pth').exists()


def test_resume_of_a_renamed_work_dir(trained, shapes, tmp_path):
    """Its own best weights, not those that lie now where they were."""
    old, new = tmp_path / 'old', tmp_path / 'new'
    shutil.copytree(trained, old)
    best = next(old.glob('best_*.pth'))
    own = weights(best)
    (trained / 'kept').mkdir()
    original = trained / best.name
    shutil.copy(original, trained / 'kept')
    try:
        torch.save(dict(state_dict={}), original)  # another run's
        still = '--resume', '--allow-changes', *short(124, 'optim_wrapper.optimizer.lr=0.')
        run_tool(*training(shapes, old), *still)
    finally:
        shutil.move(trained / 'kept' / best.name, original)
        (trained / 'kept').rmdir()
    assert weights(best).keys() == own.keys()

    shutil.copytree(old, new)
    (new / best.name).unlink()  # lost: the next validation starts anew
    run_tool(*training(shapes, new), *still[:2], *short(128, 'optim_wrapper.optimizer.lr=0.'))
    assert [f.name for f in new.glob('best_*')] == ['best_accuracy_top1_iter_128.pth']


def test_resume_from_the_config(trained, shapes, tmp_path):
    run_tool(
        *training(shapes, tmp_path),
        '--allow-changes',
        *short(124, 'resume=True', f'load_from={trained}/iter_120.pth'),
    )
    assert read_checkpoint(str(tmp_path / 'iter_124.pth'))['meta']['seed'] == 1
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'resumed epoch: 0, iter: 120' in log


class Interrupt(Hook):
    def before_val(self, runner):
        if runner.iter:  # not before training
            raise KeyboardInterrupt


def test_nothing_is_saved_before_its_validation(shapes, tmp_path):
    """A run that dies in a validation repeats it when resumed."""
    cfg = config(
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
        *short(8, 'train_cfg.val_interval=4', 'default_hooks.checkpoint.interval=2'),
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    names = sorted(f.name for f in tmp_path.glob('*.pth'))
    assert names == ['best_accuracy_top1_iter_0.pth', 'iter_2.pth']
