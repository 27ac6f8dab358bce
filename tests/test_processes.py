"""Two processes without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from safetensors.torch import load_file

from safe_mm.registry import MODELS

from .conftest import (
    CONFIG,
    ROOT,
    config,
    free_port,
    metrics,
    require_two_devices,
    run_tool,
    short,
    weights,
)
from .two_processes import run_in_two


def launch(tool: str, *args: str, **variables: str) -> str:
    """Runs a tool in processes of one thread each; gives its output."""
    env = dict(
        os.environ,
        PORT=str(free_port()),
        OMP_NUM_THREADS='1',
        PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
    )
    result = subprocess.run(
        ['bash', str(ROOT / 'tools' / f'dist_{tool}.sh'), *map(str, args)],
        env=dict(env, **variables),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_two_processes_share_features_and_runs(shapes, tmp_path):
    """One extraction divided, each setting and seed trained by both."""
    for folder in ('one', 'two'):
        options = [
            '--data-root',
            shapes,
            '--work-dir',
            tmp_path / folder,
            '--grid',
            '--seeds',
            1,
            2,
            '--shots',
            4,
            *short(
                8,
                'train_cfg.val_interval=4',
                'grid.lr=[1e-3,1e-5]',
                'grid.weight_decay=[0]',
                'default_hooks.feature_cache.type=safe_mm.FeatureCacheHook',
                f'default_hooks.feature_cache.root={tmp_path / folder / "cache"}',
            ),
        ]
        if folder == 'one':
            run_tool('train', CONFIG, *options)
        else:
            run_in_two('train', CONFIG, *options, 'train_dataloader.batch_size=4')
    caches = [
        {
            str(file.relative_to(tmp_path / folder)): load_file(file)['features']
            for file in (tmp_path / folder).rglob('*.safetensors')
        }
        for folder in ('one', 'two')
    ]
    assert len(caches[0]) == 4  # each seed's training views and validation
    torch.testing.assert_close(caches[0], caches[1], rtol=1e-5, atol=1e-5)
    best = [
        {file.name: weights(file) for file in (tmp_path / folder).glob('best_seed*.pth')}
        for folder in ('one', 'two')
    ]
    assert len(best[0]) == 2
    torch.testing.assert_close(best[0], best[1], rtol=0, atol=1e-5)


def test_two_processes_take_the_same_step(shapes, tmp_path):
    """Two processes with batches of 4 against one with batches of 8."""
    options = [
        '--data-root',
        shapes,
        *short(
            8,
            'default_hooks.checkpoint.interval=1',
            'default_hooks.checkpoint.max_keep_ckpts=9',
            'train_cfg.val_interval=8',
            'optim_wrapper.optimizer.lr=1e-5',
        ),
    ]
    require_two_devices()
    run_tool('train', CONFIG, '--work-dir', tmp_path / 'one', *options)
    launch(
        'train',
        CONFIG,
        2,
        '--work-dir',
        tmp_path / 'two',
        *options,
        'train_dataloader.batch_size=4',
    )
    start = MODELS.build(config('--data-root', shapes).model).state_dict()
    for step in (1, 8):
        one = weights(tmp_path / 'one' / f'iter_{step}.pth')
        two = weights(tmp_path / 'two' / f'iter_{step}.pth')
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(one[key], two[key], rtol=0, atol=1e-6)
        moved = max(
            (one[k] - start[k]).abs().max().item() for k in one if k.startswith('neck.attn_pool_f.')
        )
        assert moved > 2e-6  # more than what is tolerated

    own = tmp_path / 'two'
    assert metrics(CONFIG, own, *options, run=run_in_two) == metrics(CONFIG, own, *options)


@pytest.mark.parametrize('tool, words', [('train', ['2']), ('test', ['a run', '2'])])
def test_launchers(tool, words, tmp_path):
    """What torchrun gets, by a program in the place of python."""
    (tmp_path / 'python').write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"')
    (tmp_path / 'python').chmod(0o755)
    variables = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', NNODES='2')
    found = launch(tool, 'a config.py', *words, '--seed', 3, **variables).splitlines()
    assert found[:3] == ['-m', 'torch.distributed.run', '--nnodes=2']
    own = ['a config.py', *words[:-1], '--launcher', 'pytorch', '--seed', '3']
    assert found[-len(own) - 2 :] == ['--nproc_per_node=2', str(ROOT / f'tools/{tool}.py'), *own]


def test_processes_exchange_trainable_tensors_only(shapes, tmp_path, monkeypatch):
    """Asked of DDP itself; one process is enough for that."""
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    for key in ('RANK', 'LOCAL_RANK'):
        monkeypatch.setenv(key, '0')
    monkeypatch.setenv('WORLD_SIZE', '1')
    for key in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):  # mmengine sets these
        monkeypatch.setenv(key, str(torch.get_num_threads()))
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setenv('MASTER_PORT', str(free_port()))
    cfg = config('--launcher', 'pytorch', '--data-root', shapes, '--work-dir', tmp_path, *short(8))
    try:
        runner = Runner.from_cfg(cfg)
        runner.train()
        exchanged = runner.model._get_ddp_logging_data()
        trainable = [p for p in runner.model.parameters() if p.requires_grad]
        assert exchanged['num_parameter_tensors'] == len(trainable) > 0
        assert exchanged['total_parameter_size_bytes'] == sum(4 * p.numel() for p in trainable)
        assert not exchanged['find_unused_parameters']
    finally:
        torch.distributed.destroy_process_group()
