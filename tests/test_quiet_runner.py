"""What a training shows on the console."""

import subprocess
import sys

from .conftest import CONFIG, ROOT, short


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
