"""Several processes share a sweep, and some are killed."""
import os
import subprocess
import sys
import time

import pytest

from safe_mm.creatures import world
from safe_mm.sweep.records import read_records

from .conftest import ROOT, free_port
from .sweeps import FEW, SAFE, ZERO, names, options, run

# A sweep of few pictures; tasks of 2 shots take forever where it says so
SCRIPT = """
import os, runpy, sys, time
from pathlib import Path
from safe_mm.creatures import world
from safe_mm.sweep import sweep
world.COUNTS = dict(train=2, val=1, test=2)
train = sweep.train
def slow_train(cfg, bar):
    if cfg.shots == 2 and os.environ.get('STARTED'):
        Path(os.environ['STARTED']).touch()
        time.sleep(1000)
    return train(cfg, bar)
sweep.train = slow_train
sys.argv[0] = 'tools/sweep.py'
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', FEW)
    path = tmp_path / 'few.py'
    path.write_text(SCRIPT)
    return path


def start(command: list, **env) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, OMP_NUM_THREADS='1', **env))


def test_what_a_killed_process_had_claimed(tmp_path, script):
    """Another that runs beside it takes it over."""
    args = options(tmp_path, SAFE, '--tasks', 'tail', '--shots', 2, 1,
                   '--seeds', 1)
    started = tmp_path / 'started'
    first = start([script, *args], STARTED=str(started))
    while not started.exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = start([script, *args])
    path = tmp_path / 'sweep' / 'records.jsonl'
    while not read_records(path):
        assert second.poll() is None
        time.sleep(0.1)
    assert [r['key']['shots'] for r in read_records(path)] == [1]
    first.kill()
    output, _ = second.communicate(timeout=100)
    assert second.returncode == 0, output[-2000:]
    assert [r['key']['shots'] for r in read_records(path)] == [1, 2]


def test_processes_share_a_sweep(tmp_path, script):
    """Each task once, one of them failing, with the records of one process."""
    args = (SAFE, ZERO, '--tasks', 'tail', 'nonsense', '--shots', 1, 2,
            '--seeds', 1)
    with pytest.raises(SystemExit, match="3 tasks failed:\n.*nonsense"):
        run(tmp_path / 'alone', *args)
    alone = read_records(tmp_path / 'alone' / 'sweep' / 'records.jsonl')
    both = start(['-m', 'torch.distributed.run', '--nproc_per_node', 2,
                  '--master_port', free_port(), script,
                  *options(tmp_path / 'shared', *args)])
    output, _ = both.communicate(timeout=200)
    assert both.returncode == 1, output[-2000:]
    shared = read_records(tmp_path / 'shared' / 'sweep' / 'records.jsonl')
    assert sorted(names(shared)) == sorted(names(alone)) and len(alone) == 6
    found = {str(r['key']): r.get('test') for r in shared}
    assert found == {str(r['key']): r.get('test') for r in alone}
    assert list(found.values()).count(None) == 3


def test_slurm_array(tmp_path):
    """What sbatch gets, by programs in the place of sbatch and python."""
    for name, text in (('sbatch', 'echo "$@" > options; cat > job'),
                       ('python', 'printf "%s\\n" "$@" > arguments')):
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{text}\n')
        (tmp_path / name).chmod(0o755)
    env = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}')
    options = ['a config.py', '--cfg-options', 'search.alpha=[0,1]']
    subprocess.run(
        ['bash', ROOT / 'tools' / 'slurm_sweep.sh', 'gpu', 'name', '4',
         *options], cwd=tmp_path, env=env, check=True)
    assert '--array=0-3 --gres=gpu:1' in (tmp_path / 'options').read_text()
    subprocess.run(['bash', 'job'], cwd=tmp_path, env=env, check=True)
    assert (tmp_path / 'arguments').read_text().splitlines() == [
        '-u', str(ROOT / 'tools' / 'sweep.py'), *options]
