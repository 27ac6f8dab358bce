"""What a training shows on the console."""

import gc
import subprocess
import sys
from multiprocessing import active_children

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .conftest import CONFIG, ROOT, fails, run_tool, short, training


def test_a_screen_before_the_first_iteration(shapes, tmp_path):
    """The log file has the config, too."""
    options = ['--data-root', shapes, '--work-dir', tmp_path, *short(8, 'train_cfg.val_interval=4')]
    result = subprocess.run(
        [sys.executable, ROOT / 'tools/train.py', CONFIG, *map(str, options)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    lines = result.stdout.splitlines()
    assert any('Best validated weights' in line for line in lines)
    first = next(i for i, line in enumerate(lines) if 'Iter(val)' in line)
    assert first < 12 and not any('MultiScale' in line for line in lines), result.stdout
    (log,) = tmp_path.glob('*/*.log')
    assert 'param_scheduler = [' in log.read_text()


def test_tensorboard(shapes, tmp_path):
    backend = 'visualizer.vis_backends.0.type='
    own = short(8, 'train_cfg.val_interval=4', 'default_hooks.logger.interval=4')
    run_tool(*training(shapes, tmp_path), *own, f'{backend}TensorboardVisBackend')
    (events,) = tmp_path.glob('*/vis_data/events.out.*')
    found = EventAccumulator(str(events)).Reload()
    assert [event.step for event in found.Scalars('loss')] == [4, 8]
    assert [event.step for event in found.Scalars('accuracy/top1')] == [0, 4, 8]


def test_package_that_is_missing(shapes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    own = [*short(8), 'visualizer.vis_backends.0.type=WandbVisBackend']
    fails('a package is missing: .*pip install wandb', *training(shapes, tmp_path), *own)


def test_workers_of_loaders_end_with_a_training(shapes, tmp_path):
    """Without the garbage collector, which may wait for them to time out."""
    before = set(active_children())
    loaders = [f'{part}_dataloader.num_workers=1' for part in ('train', 'val')]
    gc.disable()
    try:
        run_tool(*training(shapes, tmp_path), *short(8, *loaders))
        assert set(active_children()) <= before
    finally:
        gc.enable()
