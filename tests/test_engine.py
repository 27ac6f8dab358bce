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
from safe_mm.errors import InputError, exit_cleanly
from safe_mm.models.slim import digest, frozen_keys


def rates_of(base: float, iterations: int) -> list:
    """Learning rates by iteration: 50 of warm-up, then cosine to zero."""
    optimizer = OptimWrapper(torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=base))
    schedulers = [
        WarmupLR(optimizer, start_lr=1e-5, end=50),
        CosineAnnealingLR(optimizer, by_epoch=False, begin=50, end=iterations),
    ]
    rates = []
    for _ in range(iterations):
        rates.append(optimizer.get_lr()['lr'][0])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


@pytest.mark.parametrize(
    'base, expected',
    [  # the rates of iterations 0, 1, 2, 25, 49 and 50
        (1e-4, [1e-5, 2e-6, 4e-6, 5e-5, 9.8e-5, 1e-4]),
        (1e-5, [1e-5, 2e-7, 4e-7, 5e-6, 9.8e-6, 1e-5]),
        (1e-6, [1e-6, 2e-8, 4e-8, 5e-7, 9.8e-7, 1e-6]),
        (1e-7, [1e-7, 2e-9, 4e-9, 5e-8, 9.8e-8, 1e-7]),
        (0.0, [0.0] * 6),
    ],
)
def test_warm_up(base, expected):
    """Rates at or below the first iteration's 1e-5 warm up as well."""
    rates = rates_of(base, 200)
    assert [rates[i] for i in (0, 1, 2, 25, 49, 50)] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('base', [1e-4, 1e-6])
def test_cosine_after_warm_up(base):
    """From the base rate itself, not from the last rate of the warm-up, to zero."""
    rates = rates_of(base, 200)
    expected = base * (1 + np.cos(np.pi * np.arange(150) / 150)) / 2
    np.testing.assert_allclose(rates[50:], expected, rtol=1e-6)
    assert max(rates) == rates[50]


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
    with pytest.raises(InputError, match='full.*What was there is kept'):
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
    with pytest.raises(SystemExit, match='^error: the remedy$'), exit_cleanly():
        try:
            raise InputError('the remedy')
        except InputError as error:  # as a registry does
            raise InputError(f'class `X` in y.py: {error}')  # noqa: B904
    with pytest.raises(SystemExit, match='^error: the remedy$'), exit_cleanly():
        raise InputError(
            'Caught InputError in DataLoader worker process 0.\n'
            'Traceback ...\nsafe_mm.errors.InputError: the remedy'
            '\n'
        )
