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
from multiprocessing import active_children, get_context, parent_process
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch

from ..errors import InputError
from ..stopping import Stopped, sigint_blocked
from .execute import cache_test_features, execute
from .run import Run

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
            with sigint_blocked():  # of a new process; the sweep ends its workers
                return pool.submit(task, args, *own)

        try:
            yield from _as_they_finish(runs, submit)
        except BrokenProcessPool:
            raise InputError(
                'a process of the sweep was killed, maybe for lack of memory. Run the same command '
                'again to continue, with a smaller --jobs.'
            ) from None
        except Stopped:
            for process in active_children():
                process.kill()  # its run is executed again
            raise


def _start(threads: int) -> None:
    """Prepares a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(os.getpid() % torch.cuda.device_count())


def _end_with_parent() -> None:
    """A killed sweep leaves no workers behind."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def ray_cluster(args: Namespace, runs: List[Run], address: Optional[str]) -> Iterator[Outcome]:
    """Workers of Ray, here or on the cluster of an address; lost ones are replaced.

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
    remotes: Dict[Callable, Any] = {t: options(t) for t in (execute, cache_test_features)}

    def submit(task: Callable, *own) -> Future:
        return remotes[task].remote(args, *own).future()

    yield from _as_they_finish(runs, submit, lost=ray.exceptions.RayError)


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
    runs: List[Run], submit: Callable[..., Future], lost: Any = ()
) -> Iterator[Outcome]:
    """Submits features first, then their runs, and yields outcomes.

    Exceptions of the types ``lost`` are errors of a run; others end the sweep.
    """
    groups: Dict[tuple, List[Run]] = {}
    for run in runs:
        groups.setdefault(run.features, []).append(run)
    pending: Dict[Future, Any] = {submit(cache_test_features, g): g for g in groups.values()}
    while pending:
        future = next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
        ended = pending.pop(future)
        try:
            error = future.result()
        except lost as problem:
            error = str(problem).splitlines()[0]
        if isinstance(ended, Run):
            yield ended, error
        else:
            pending.update({submit(execute, run): run for run in ended})
