"""Many tasks, each run once by one of the processes that share a sweep."""
import hashlib
import json
import logging
import time
import traceback
from argparse import Namespace
from itertools import product
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..claims import Claims
from ..environment import versions
from ..errors import InputError, message_of
from ..evaluation import ZERO_SHOT
from ..experiment import chosen, measure, test_loaders, train
from .records import append_record, read_records
from .task import Task, record_key, task_config, trains, weights_hash

BETAS = (0., 0.1, 0.25, 0.5, 0.75, 1., 2., 4., ZERO_SHOT)
UNEXPECTED = 2  # errors that look like those of the machine


def all_tasks(configs: Sequence[str], data: Sequence[Optional[str]],
              shots: Sequence[int], seeds: Sequence[int]) -> List[Task]:
    """Their product; what trains nothing has neither shots nor seed."""
    tasks = []
    for config, name in product(configs, data):
        samples = product(shots, seeds) if trains(config) else [(None, None)]
        tasks += [Task(config, name, *sample) for sample in samples]
    return tasks


class Job(NamedTuple):
    """A task that is ready to run, and the key of its record."""
    task: Task
    cfg: Config
    key: dict

    @property
    def name(self) -> str:
        """The key as text."""
        return json.dumps(self.key)


class Sweep:
    """Runs tasks and appends a record of each.

    Several processes may run the same sweep at once, on one machine or on
    several that share a file system: each task is claimed by one of them,
    and if that is killed, by another. What is done is passed over. A task
    that fails is recorded with its error; the next sweep tries it again.

    Args:
        args (Namespace): See :func:`safe_mm.sweep.task.task_config`.
        records (Path): File of records. Work dirs and claims lie beside it.
    """

    def __init__(self, args: Namespace, records: Path) -> None:
        self.args, self.records = args, records
        self._before = len(read_records(records, warn=True))
        self._failed: Set[str] = set()
        self._loaders: Dict[str, Dict[str, DataLoader]] = {}

    def jobs(self, tasks: List[Task]) -> List[Job]:
        """Of all tasks, those that are the same only once.

        Raises:
            InputError: A config, an option or CLIP's weights do not fit.
        """
        jobs = {}
        for task in tqdm(tasks, 'configs', leave=False):
            cfg = task_config(self.args, self.records.parent, task)
            job = Job(task, cfg, record_key(cfg, task))
            jobs[job.name] = job
        return list(jobs.values())

    def done(self) -> Set[str]:
        """Names of jobs that have a record.

        That one failed counts if it did so in this process, or, with what a
        user has to mend, in another since the start.
        """
        failed = InputError.__name__
        return self._failed | {
            json.dumps(record['key'])
            for number, record in enumerate(read_records(self.records))
            if 'error' not in record or number >= self._before
            and record['error'].startswith(failed)
        }

    def run(self, tasks: List[Task]) -> List[str]:
        """Runs all that is not done; returns what failed in this process.

        Ends when all is done, by this process or another. After
        ``UNEXPECTED`` unexpected errors in a row, the process runs no more.

        Raises:
            InputError: The records cannot be written.
        """
        try:
            self.records.parent.mkdir(parents=True, exist_ok=True)
            self.records.open('ab').close()
        except OSError as error:
            raise InputError(f'--records: {error}') from None
        jobs, errors, in_a_row = self.jobs(tasks), [], 0
        with tqdm(total=len(jobs), desc='tasks') as bar:
            for wait in (False, True):  # at last, for what others have
                claims = Claims(jobs, self._lock_file,
                                lambda job: job.name in self.done(), wait)
                for job in claims:
                    if in_a_row < UNEXPECTED:
                        error = self._record(job)
                        errors += [error] if error else []
                        unexpected = error and InputError.__name__ not in error
                        in_a_row = in_a_row + 1 if unexpected else 0
                    claims.end()
                    done = self.done()
                    bar.n = sum(job.name in done for job in jobs)
                    bar.refresh()
        return errors

    def _lock_file(self, job: Job) -> Path:
        number = hashlib.sha256(job.name.encode()).hexdigest()
        return self.records.parent / 'claims' / number[:16]

    def _record(self, job: Job) -> Optional[str]:
        """Runs a task and records it; returns its error, if it failed."""
        found = self._attempt(job.cfg)
        with FileLock(self.records.parent / 'claims' / 'records'):
            append_record(self.records, dict(key=job.key, **found))
        if 'error' not in found:
            return None
        self._failed.add(job.name)
        key = job.key
        return (f'{key["config"]} {key["clip"]} {key["task"]}, '
                f'{key["shots"]} shots, seed {key["seed"]}: {found["error"]}')

    def _attempt(self, cfg: Config) -> dict:
        """What a record says of a task, beside its key."""
        try:
            return self._run(cfg)
        except InputError as error:
            return dict(error=f'{InputError.__name__}: {message_of(error)}')
        except Exception as error:  # of whatever kind: the others are to run
            print_log(traceback.format_exc(), 'current', logging.ERROR)
            return dict(error=f'{type(error).__name__}: {error}')

    def _run(self, cfg: Config) -> dict:
        """Trains, if there is something to train, and tests once."""
        start = time.time()
        betas = sorted({*BETAS, float(cfg.model.neck.get('beta', 0.))})
        if cfg.get('train_cfg'):
            with tqdm(total=cfg.train_cfg.max_iters, leave=False) as bar:
                runner = train(cfg, bar)
            found = chosen(runner, betas)
        else:
            runner, found = Runner.from_cfg(cfg), {}
        middle = time.time()
        figures = measure(runner.model, self._test_loaders(cfg, runner.model),
                          betas)
        seconds = dict(train=middle - start, test=time.time() - middle)
        return dict(**found, **figures, seconds=seconds, made=made_by(cfg))

    def _test_loaders(self, cfg: Config, model) -> Dict[str, DataLoader]:
        """Those of one data set and one CLIP at a time."""
        name = json.dumps([cfg.clip, cfg.test_dataloader.dataset,
                           cfg.get('variants')])
        if name not in self._loaders:
            self._loaders = {name: test_loaders(cfg, model)}
        return self._loaders[name]


def made_by(cfg: Config) -> dict:
    """With what, on what and when a record was made."""
    gpu = get_device() == 'cuda'
    return dict(
        versions=versions(),
        weights=weights_hash(cfg.clip.model_name, cfg.clip.pretrained),
        device=torch.cuda.get_device_name() if gpu else
        f'CPU, {torch.get_num_threads()} threads',
        date=time.strftime('%Y-%m-%d %H:%M:%S'))
