"""A tool in two processes, forked from one that has imported what they need."""

import multiprocessing
import os

import torch

from .conftest import free_port, require_two_devices, run_tool

CONTEXT = multiprocessing.get_context('forkserver')
PACKAGE = ('safe_mm.engine', 'safe_mm.methods', 'safe_mm.datasets')
CONTEXT.set_forkserver_preload([*PACKAGE, 'tests.conftest', 'sklearn.linear_model'])


def run_in_two(tool: str, *args: str) -> None:
    """As tools/dist_train.sh does, with less to start."""
    require_two_devices()
    port = free_port()
    ranks = [CONTEXT.Process(target=run_rank, args=(rank, port, tool, args)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
    assert [rank.exitcode for rank in ranks] == [0, 0]


def run_rank(rank: int, port: int, tool: str, args: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    run_tool(tool, *args, '--launcher', 'pytorch')
    from safe_mm.hardware import leave_processes

    leave_processes()  # a forked process ends without its exit handlers
