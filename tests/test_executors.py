"""The same sweep in one process, in several, on Ray, and in shards."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch

from .conftest import ROOT, fails, run_tool
from .forks import Forked
from .sweeps import configs, figures, options, results, run

METHODS = 'tip-adapter-f', 'safe'
SAMPLES = '--shots', 1, '--seeds', 1, 2


@pytest.fixture(scope='module')
def alone(tmp_path_factory, shapes):
    """Config files, and the figures of one process."""
    folder = tmp_path_factory.mktemp('alone')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the other processes
    files = configs(folder, shapes, *METHODS)
    found = figures(run(folder, *files, *SAMPLES))
    torch.set_num_threads(threads)
    assert len(found) == 4
    return files, found


def wait_for_the_end_of(workers: list, seconds: float = 60) -> None:
    end = time.time() + seconds
    while any(Path(f'/proc/{pid}').exists() for pid in workers):
        assert time.time() < end
        time.sleep(0.1)


def workers_of(process: Forked) -> list:
    """Process ids of its children, and of theirs (Linux)."""
    found = [str(process.pid)]
    for pid in found:
        found += Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return found[1:]


def test_local_processes(tmp_path, alone):
    """Killed half way, without a trace, and continued in one."""
    files, expected = alone
    args = options(tmp_path, *files, *SAMPLES, '--jobs', 2)
    first = Forked(tmp_path / 'log', 'sweep', *args)
    while len(results(tmp_path)) < 1:
        assert first.poll() is None
        time.sleep(0.1)
    workers = workers_of(first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert len(workers) >= 2
    wait_for_the_end_of(workers)
    assert figures(run(tmp_path, *files, *SAMPLES)) == expected


def test_shards(tmp_path, alone):
    files, expected = alone
    for shard, count in (('1/2', 2), ('2/2', 4)):
        run(tmp_path, *files, *SAMPLES, '--shard', shard)
        assert len(results(tmp_path)) == count
    assert figures(results(tmp_path)) == expected


def test_ray_cluster_that_loses_a_node(tmp_path, alone):
    """Runs of a lost node are executed again on the other."""
    ray = pytest.importorskip('ray')
    from ray.cluster_utils import Cluster

    files, expected = alone
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1))
    lost = cluster.add_node(num_cpus=1)

    def lose_a_node() -> None:
        while len(results(tmp_path)) < 1:
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=lose_a_node, daemon=True)
    killer.start()
    try:
        run_tool('sweep', *options(tmp_path, *files, *SAMPLES, '--ray', cluster.address))
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not killer.is_alive()
    assert figures(results(tmp_path)) == expected


def test_bad_shards(tmp_path, shapes):
    (file,) = configs(tmp_path, shapes, 'tip-adapter')
    for shard in ('0/2', '3/2', 'two'):
        with pytest.raises(SystemExit):
            run_tool('sweep', *options(tmp_path, file, '--shard', shard))
    fails('--ray 127.0.0.1:1', 'sweep', *options(tmp_path, file, '--ray', '127.0.0.1:1'))


def test_slurm_array(tmp_path):
    """What sbatch gets, by programs in the place of sbatch and python."""
    for name, text in (
        ('sbatch', 'echo "$@" > options; cat > job'),
        ('python', 'printf "%s\\n" "$@" > arguments'),
    ):
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{text}\n')
        (tmp_path / name).chmod(0o755)
    env = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', SLURM_ARRAY_TASK_ID='3')
    options = ['a config.py', '--cfg-options', 'search.alpha=[0,1]']
    subprocess.run(
        ['bash', ROOT / 'tools' / 'slurm_sweep.sh', 'gpu', 'name', '4', *options],
        cwd=tmp_path,
        env=env,
        check=True,
    )
    assert '--array=1-4 --gres=gpu:1' in (tmp_path / 'options').read_text()
    subprocess.run(['bash', 'job'], cwd=tmp_path, env=env, check=True)
    assert (tmp_path / 'arguments').read_text().splitlines() == [
        '-u',
        str(ROOT / 'tools' / 'sweep.py'),
        *options,
        '--shard',
        '3/4',
    ]
