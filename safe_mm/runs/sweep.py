"""A sweep: runs that are left to do, handed to an executor."""

import logging
from argparse import Namespace
from pathlib import Path
from typing import Iterator, List

from mmengine.logging import print_log
from tqdm import tqdm

from ..errors import InputError
from .executors import Outcome, in_this_process, local_processes, ray_cluster
from .run import ERROR, Run, expand_runs, is_done, run_config


def plan(args: Namespace) -> List[Run]:
    """The runs of ``--shard`` that have no result yet.

    Raises:
        InputError: An option is wrong, or a folder cannot be written.
    """
    runs = expand_runs(args)
    index, count = args.shard
    left = []
    for run in tqdm(runs[index - 1 :: count], 'configs', leave=False):
        if not is_done(run_config(args, run)):
            left.append(run)
    return left


def sweep(args: Namespace) -> List[str]:
    """Executes the runs that are left; returns the errors of those that fail.

    A failed run does not stop the others; it is executed again by the next call.
    """
    try:
        Path(args.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--work-dir: {error}') from None
    total = len(expand_runs(args)[args.shard[0] - 1 :: args.shard[1]])
    left, errors = plan(args), []
    with tqdm(total=total, initial=total - len(left), desc='runs') as bar:
        for run, error in outcomes(args, left):
            bar.update()
            if error:
                errors.append(f'{describe(run)}: {error}')
                print_log(errors[-1], 'current', logging.ERROR)
            bar.set_postfix(failed=len(errors))
    return errors


def outcomes(args: Namespace, runs: List[Run]) -> Iterator[Outcome]:
    """Executes runs where the options say."""
    if args.ray is not None:
        return ray_cluster(args, runs, args.ray or None)
    if args.jobs > 1:
        return local_processes(args, runs, args.jobs)
    return in_this_process(args, runs)


def describe(run: Run) -> str:
    """A run in a few words."""
    words = [Path(run.config).stem, run.dataset, run.clip]
    if run.shots:
        words += [f'{run.shots} shots', f'seed {run.seed}']
    return ', '.join(word for word in words if word)


def failures(folder: Path) -> List[str]:
    """Folders and errors of runs without a result."""
    return [
        f'{file.parent}: {file.read_text().splitlines()[-1]}'
        for file in sorted(folder.rglob(ERROR))
    ]
