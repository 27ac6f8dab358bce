"""A sweep: runs that are left to do, handed to an executor."""

import logging
from argparse import Namespace
from pathlib import Path
from typing import Iterator, List

from mmengine.logging import print_log
from tqdm import tqdm

from ..datasets.build import test_datasets, training_datasets
from ..errors import InputError, counted, message_of
from ..files import make_folder
from ..stopping import advice_on_stop
from . import RESULT
from .executors import Outcome, in_this_process, local_processes, ray_cluster
from .run import Run, expand_runs, run_config


def plan(args: Namespace) -> List[Run]:
    """The runs of ``--shard`` that have no result yet.

    Raises:
        InputError: An option is wrong.
    """
    runs = tqdm(shard_of(args), 'configs', leave=False)
    return [run for run in runs if not Path(run_config(args, run).work_dir, RESULT).is_file()]


def shard_of(args: Namespace) -> List[Run]:
    """All runs of ``--shard``."""
    index, count = args.shard
    return expand_runs(args)[index - 1 :: count]


def sweep(args: Namespace) -> List[str]:
    """Executes the runs that are left; returns the errors of those that fail.

    A failed run does not stop the others; it is executed again by the next call.

    Raises:
        InputError: An option is wrong, or the work dir cannot be written.
    """
    make_folder(Path(args.work_dir), '--work-dir')
    total, left = len(shard_of(args)), plan(args)
    check_data(args, left)
    with advice_on_stop(lambda: 'Run the same command to go on.'):
        return execute_all(args, left, total)


def execute_all(args: Namespace, left: List[Run], total: int) -> List[str]:
    """Executes runs, with a progress bar of all; returns the errors of those that fail."""
    errors: List[str] = []
    with tqdm(total=total, initial=total - len(left), desc='runs') as bar:
        for finished, (run, error) in enumerate(outcomes(args, left), 1):
            bar.update()
            if error:
                errors.append(f'{describe(run)}: {error}')
                print_log(errors[-1], 'current', logging.ERROR)
            counts = dict(failed=len(errors))
            if args.ray is None:
                counts['running'] = min(args.jobs, len(left) - finished)
            bar.set_postfix(counts)
    return errors


def check_data(args: Namespace, runs: List[Run]) -> None:
    """Reads all annotations of the first run of each dataset.

    Raises:
        InputError: Names the run, and what cannot be used.
    """
    for run in {run.dataset: run for run in reversed(runs)}.values():
        cfg, fault = run_config(args, run), ''
        try:
            training_datasets(cfg)
            test_datasets(cfg)
        except InputError as error:
            fault = message_of(error)
        if fault:
            raise InputError(f'{describe(run)}: {fault}')


def outcomes(args: Namespace, runs: List[Run]) -> Iterator[Outcome]:
    """Executes runs by the executor that the options choose."""
    if args.ray is not None:
        return ray_cluster(args, runs, args.ray or None)
    if args.jobs > 1:
        return local_processes(args, runs, args.jobs)
    return in_this_process(args, runs)


def describe(run: Run) -> str:
    """A run in a few words."""
    words = [Path(run.config).stem, run.dataset, run.clip]
    if run.shots:
        words += [counted(run.shots, 'shot'), f'seed {run.seed}']
    return ', '.join(word for word in words if word)
