"""Schedule, checkpoints and hooks, part by part."""

import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import CosineAnnealingLR, OptimWrapper

from safe_mm.checkpoint import find_checkpoint, plain
from safe_mm.engine import SlimCheckpointHook, WarmupLR
from safe_mm.engine.checkpoint_hook import AtomicLocalBackend
from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.models.slim import digest, frozen_keys


@pytest.mark.parametrize('base', [1e-4, 1e-5, 1e-6, 0.0])
def test_schedule(base):
    """Warm-up from 1e-5, never above the base rate, then to zero."""
    optimizer = OptimWrapper(torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=base))
    schedulers = [
        WarmupLR(optimizer, start_lr=1e-5, end=50),
        CosineAnnealingLR(optimizer, by_epoch=False, begin=50, end=200),
    ]
    rates = []
    for _ in range(200):
        rates.append(optimizer.get_lr()['lr'][0])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(min(1e-5, base))
    assert max(rates) == pytest.approx(base)
    assert rates[49] == pytest.approx(base)
    steps = np.diff(rates[:50])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6, atol=1e-18)
    assert rates[125] == pytest.approx(base / 2, rel=0.02)
    assert 0 <= rates[-1] <= 2e-4 * base


def test_plain_is_what_the_safe_loader_reads(tmp_path):
    value = dict(
        tensor=torch.ones(2),
        scalar=np.float64(3.5),
        array=np.arange(3),
        buffer=HistoryBuffer([1.0], [1]),
        nested=[dict(a=(1, 'x', None, HistoryBuffer()))],
    )
    torch.save(plain(value), tmp_path / 'plain.pth')
    read = torch.load(tmp_path / 'plain.pth', weights_only=True)
    assert read.pop('tensor').tolist() == [1, 1]
    assert read == dict(scalar=3.5, array=[0, 1, 2], nested=[dict(a=(1, 'x', None))])


def test_frozen_keys():
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2))
    model[0].requires_grad_(False)
    assert set(frozen_keys(model)) == {
        f'0.{name}'
        for name in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    }


def test_digest_sees_names_and_values():
    a, b = torch.zeros(3), torch.ones(3)
    assert digest(dict(a=a, b=b)) == digest(dict(b=b, a=a))
    assert digest(dict(a=a, b=b)) != digest(dict(a=b, b=a))
    assert digest(dict(a=a)) != digest(dict(b=a))
    assert digest(dict(a=a)) != digest(dict(a=torch.tensor([0.0, 1e-30, 0.0])))


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    backend = AtomicLocalBackend()
    backend.put(b'old', str(path))
    monkeypatch.setattr(
        'mmengine.fileio.LocalBackend.put', lambda *args: (_ for _ in ()).throw(OSError('full'))
    )
    with pytest.raises(OSError, match='full'):
        backend.put(b'new', str(path))
    assert path.read_bytes() == b'old'


def test_newest_readable_checkpoint(tmp_path):
    """The newest, not the highest: a work dir may be used again."""
    folder = str(tmp_path)
    assert find_checkpoint(folder, 'iter_*.pth') is None
    for age, name in enumerate(('iter_5', 'iter_40', 'best_model')):
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict={}), path)
        os.utime(path, (1000 - age, 1000 - age))
    assert find_checkpoint(folder, 'iter_*.pth').endswith('iter_5.pth')
    assert find_checkpoint(folder, 'best_*.pth').endswith('best_model.pth')
    (tmp_path / 'iter_5.pth').write_bytes(b'torn')
    assert find_checkpoint(folder, 'iter_*.pth').endswith('iter_40.pth')
    (tmp_path / 'best_model.pth').write_bytes(b'torn')
    with pytest.raises(InputError, match='best_model.pth'):
        find_checkpoint(folder, 'best_*.pth')


def test_checkpoints_are_written_whole():
    assert SlimCheckpointHook().backend_args == dict(backend='atomic_local')


def test_tools_print_the_bare_message():
    with pytest.raises(SystemExit, match='^error: the remedy$'), exit_on_input_error():
        try:
            raise InputError('the remedy')
        except InputError as error:  # as a registry does
            raise InputError(f'class `X` in y.py: {error}')  # noqa: B904
    with pytest.raises(SystemExit, match='^error: the remedy$'), exit_on_input_error():
        raise InputError(
            'Caught InputError in DataLoader worker process 0.\n'
            'Traceback ...\nsafe_mm.errors.InputError: the remedy'
            '\n'
        )
