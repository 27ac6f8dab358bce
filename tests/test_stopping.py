"""Training that is stopped, or has diverged."""

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from safe_mm.errors import exit_cleanly
from safe_mm.report.results import read_results
from safe_mm.stopping import STOPPER, Stopped, stop_on_signals

from .conftest import fails, run_tool, short, training, weights
from .forks import TRAIN, Forked


def wait_for(path: Path, process: Forked) -> None:
    until = time.time() + 120
    while not path.exists():
        assert process.poll() is None and time.time() < until
        time.sleep(0.01)


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize('number,code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_and_resumed_run_ends_the_same(shapes, tmp_path, number, code):
    """With one line, a checkpoint, and no process left."""
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    data = ['--data-root', shapes, '--work-dir']
    run_tool(*TRAIN, *data, whole)
    workers = ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']
    process = Forked(tmp_path / 'log', *TRAIN, *workers, *data, broken)
    wait_for(broken / 'iter_15.pth', process)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    stopped, output = process.wait(20), process.log.read_text()
    assert stopped == code, output
    last = output.strip().splitlines()[-1]
    assert 'Traceback' not in output
    assert last.startswith('stopped by ') and 'with --resume to go on from' in last
    assert Path(last.split(' from ')[1][:-1]).is_file()
    assert not (broken / 'iter_60.pth').exists()
    until = time.time() + 10
    while not group_is_gone(process.pid):
        assert time.time() < until
        time.sleep(0.1)
    run_tool(*TRAIN, *data, broken, '--resume')
    files = [sorted(f.name for f in d.glob('*.pth')) for d in (whole, broken)]
    assert files[0] == files[1]
    for name in files[0]:
        expected, actual = weights(whole / name), weights(broken / name)
        assert all(torch.equal(expected[key], actual[key]) for key in expected)


def test_stopped_before_training(shapes, tmp_path, capsys, monkeypatch):
    """There is nothing to resume."""

    def stop(*args):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr('safe_mm.engine.checkpoint_hook.SlimCheckpointHook.before_run', stop)
    with pytest.raises(SystemExit) as end:
        run_tool(*training(shapes, tmp_path), *short(8))
    assert end.value.code == 143
    assert 'There is no checkpoint yet: run the same command again.' in capsys.readouterr().err


def test_second_signal_does_not_wait():
    with stop_on_signals():
        STOPPER.waits = True
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped, match='stopped by Ctrl-C'):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


def test_library_that_replaces_or_drops_the_error(capsys):
    """As mmengine does while it formats a config, or looks for compilers."""
    with pytest.raises(SystemExit) as end, exit_cleanly():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except:  # noqa: E722
            raise SyntaxError('of the config') from None
    assert end.value.code == 143 and 'stopped by SIGTERM' in capsys.readouterr().err
    with stop_on_signals():
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        assert STOPPER.noted == signal.SIGTERM


def test_loss_that_is_not_finite(shapes, tmp_path):
    """Ends the run, which keeps what was before."""
    diverges = (
        'optim_wrapper.optimizer.lr=1e30',
        'train_cfg.val_interval=50',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=9',
    )
    with pytest.raises(SystemExit) as end:
        run_tool(*training(shapes, tmp_path), *short(50, *diverges))
    found = re.fullmatch(
        r'error: the loss of iteration (\d+) is not finite, at a learning rate of .*e\+.*\. '
        r'Train with a lower one. The last checkpoint before is (.*)\.',
        end.value.code,
    )
    assert Path(found[2]).name == f'iter_{int(found[1]) - 1}.pth' and Path(found[2]).is_file()
    assert not (tmp_path / f'iter_{found[1]}.pth').exists()


def test_two_runs_in_one_work_dir(shapes, tmp_path):
    """The second is told who has it, and the first goes on."""
    more = ['train_cfg.max_iters=400', '--data-root', shapes, '--work-dir', tmp_path]
    first = Forked(tmp_path / 'log', *TRAIN, *more)
    wait_for(tmp_path / 'iter_5.pth', first)
    fails(f'in use by process {first.pid} of ', *training(shapes, tmp_path), *short(8))
    assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    run_tool(*training(shapes, tmp_path), '--overwrite', *short(8))


def test_sweep_that_is_stopped(shapes, tmp_path):
    """Goes on with the same command."""
    sweep = ['sweep', *TRAIN[1:], '--data-root', shapes, '--work-dir', tmp_path]
    process = Forked(tmp_path / 'log', *sweep, '--shots', 1, '--seeds', 1, 2, 3, '--jobs', 2)
    until = time.time() + 120
    while not list(tmp_path.rglob('*.log')):
        assert process.poll() is None and time.time() < until
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    output = process.log.read_text()
    assert 'stopped by Ctrl-C. Run the same command to go on.' in output.splitlines()
    assert 'Traceback' not in output


def test_two_sweeps_in_one_work_dir(shapes, tmp_path):
    """Each run is of one of them; what the other has is named, and left alone."""
    options = [*TRAIN[1:], 'train_cfg.max_iters=100', '--data-root', shapes]
    options += ['--shots', 1, '--seeds', 1, 2, '--work-dir', tmp_path]
    first = Forked(tmp_path / 'log', 'sweep', *options)
    until = time.time() + 120
    while not list(tmp_path.rglob('*.log')):
        assert first.poll() is None and time.time() < until
        time.sleep(0.01)
    with pytest.raises(SystemExit, match=f'in use by process {first.pid} of '):
        run_tool('sweep', *options)
    first.wait(120)  # which may have met a run of the second
    run_tool('sweep', *options)
    assert len(read_results([tmp_path])[0]) == 2
