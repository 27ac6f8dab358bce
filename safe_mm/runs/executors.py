"""Where the runs of a sweep are executed.

An executor takes runs that are left to do and yields each with its error, or None, as it finishes.
Features of test images that runs share are computed by a task of their own, before the runs that
need them.
"""

import os
import socket
import threading
from argparse import Namespace
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import torch

from ..errors import InputError
from .execute import cache_test_features, execute
from .run import Run, distinct

Outcome = Tuple[Run, Optional[str]]
RETRIES = 3  # of a run whose worker was lost
TIMEOUT = 5  # seconds


def in_this_process(args: Namespace, runs: List[Run]) -> Iterator[Outcome]:
    """One run after the other."""
    for run in runs:
        yield run, execute(args, run)


def local_processes(args: Namespace, runs: List[Run], jobs: int) -> Iterator[Outcome]:
    """Several processes of this machine, each with a share of its cores.

    Raises:
        InputError: A process was killed. Completed runs are kept.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context('spawn'), _start, (threads,)) as pool:

        def submit(task: Callable, *own) -> Future:
            return pool.submit(task, args, *own)

        try:
            yield from _as_they_finish(runs, submit, _first_finished)
        except BrokenProcessPool:
            raise InputError(
                'a process of the sweep was killed, maybe for lack of memory. '
                'Run the same command again to continue, with a smaller '
                '--jobs.'
            ) from None


def _start(threads: int) -> None:
    """Prepares a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    rank = int(os.environ.get('LOCAL_RANK', os.getpid()))
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())


def _end_with_parent() -> None:
    """A killed sweep leaves no workers behind."""
    parent_process().join()
    os._exit(1)


def _first_finished(futures: List[Future]) -> Tuple[Future, Optional[str]]:
    finished = next(iter(wait(futures, return_when=FIRST_COMPLETED).done))
    return finished, finished.result()


def ray_cluster(args: Namespace, runs: List[Run], address: Optional[str]) -> Iterator[Outcome]:
    """Workers of Ray, on this machine or a cluster; lost ones are replaced.

    Args:
        args (Namespace): Of the runs.
        runs (list[Run]): What is left to do.
        address (str, optional): Of a cluster to join; None starts Ray here.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise InputError('--ray needs the extra: pip install "safe-mm[ray]"') from None
    check_reachable(address)
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    gpus = 1 if ray.cluster_resources().get('GPU') else 0
    options = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)
    remotes: Dict[Callable, Callable] = {
        task: options(task) for task in (execute, cache_test_features)
    }

    def submit(task: Callable, *own) -> 'ray.ObjectRef':
        return remotes[task].remote(args, *own)

    def first_finished(futures: list) -> tuple:
        finished = ray.wait(futures)[0][0]
        try:
            return finished, ray.get(finished)
        except ray.exceptions.RayError as error:
            return finished, str(error).splitlines()[0]

    yield from _as_they_finish(runs, submit, first_finished)


def check_reachable(address: Optional[str]) -> None:
    """Raises an InputError if nothing answers; Ray would try for minutes."""
    host, _, port = (address or '').split('://')[-1].rpartition(':')
    try:
        if port.isdigit():
            socket.create_connection((host, int(port)), TIMEOUT).close()
    except OSError as error:
        raise InputError(
            f'--ray {address}: no cluster answers ({error}). Start one by: ray start --head'
        ) from None


def _as_they_finish(
    runs: List[Run], submit: Callable, first_finished: Callable
) -> Iterator[Outcome]:
    """Submits features first, then their runs, and yields outcomes."""
    pending: dict = {}
    for features in distinct(runs, 'features'):
        own = [run for run in runs if run.features == features]
        pending[submit(cache_test_features, own)] = own
    while pending:
        future, error = first_finished(list(pending))
        ended = pending.pop(future)
        if isinstance(ended, Run):
            yield ended, error
            continue
        pending.update({submit(execute, run): run for run in ended})
