"""Many tasks, each run once by one of the processes that share a sweep."""
import hashlib
import json
import logging
import time
import traceback
from argparse import Namespace
from itertools import product
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..claims import claim, give_back
from ..environment import versions
from ..errors import InputError, message_of
from ..evaluation import ZERO_SHOT
from ..experiment import chosen, measure, test_loaders, train
from .records import append_record, read_records
from .task import Task, record_key, task_config, trains, weights_hash

BETAS = (0., 0.1, 0.25, 0.5, 0.75, 1., 2., 4., ZERO_SHOT)


def all_tasks(configs: Sequence[str], data: Sequence[Optional[str]],
              shots: Sequence[int], seeds: Sequence[int]) -> List[Task]:
    """Their product; what trains nothing has neither shots nor seed."""
    tasks = []
    for config, name in product(configs, data):
        samples = product(shots, seeds) if trains(config) else [(None, None)]
        tasks += [Task(config, name, *sample) for sample in samples]
    return tasks


class Sweep:
    """Runs tasks and appends a record of each.

    Several processes may run the same sweep at once, on one machine or on
    several that share a file system: each task is claimed by one of them,
    and if that is killed, by another. What is done is passed over. A task
    that fails is recorded with its error; the next sweep tries it again.

    Args:
        args (Namespace): See :func:`safe_mm.sweep.task.task_config`.
        records (Path): File of records. Work dirs and claims lie beside it.

    Raises:
        InputError: ``records`` cannot be written.
    """

    def __init__(self, args: Namespace, records: Path) -> None:
        self.args, self.records = args, records
        try:
            records.parent.mkdir(parents=True, exist_ok=True)
            records.touch()
        except OSError as error:
            raise InputError(f'--records: {error}') from None
        self._before = len(read_records(records))
        self._loaders: Dict[str, Dict[str, DataLoader]] = {}

    def config(self, task: Task) -> Config:
        """The config of a task."""
        return task_config(self.args, self.records.parent, task)

    def is_done(self, key: dict) -> bool:
        """Whether there is a record, or, since the start, a failure."""
        return any(
            record['key'] == key and (
                'error' not in record or number >= self._before)
            for number, record in enumerate(read_records(self.records)))

    def run(self, tasks: List[Task]) -> List[str]:
        """Runs all that is not done; returns what failed in this process."""
        failed = []
        for task in tqdm(tasks, 'tasks'):
            cfg = self.config(task)
            key = record_key(cfg, task)
            lock = claim(self._lock_file(json.dumps(key)))
            if lock is None:
                continue
            try:
                if not self.is_done(key):
                    found = self._attempt(cfg)
                    self._append(dict(key=key, **found))
                    if 'error' in found:
                        failed.append(f'{cfg.experiment_name}: '
                                      f'{found["error"]}')
            finally:
                give_back(lock)
        return failed

    def _lock_file(self, name: str) -> Path:
        number = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.records.with_suffix('.claims') / number

    def _append(self, record: dict) -> None:
        lock = claim(self._lock_file('records'), wait=True)
        append_record(self.records, record)
        give_back(lock)

    def _attempt(self, cfg: Config) -> dict:
        """What a record says of a task, beside its key."""
        try:
            return self._run(cfg)
        except InputError as error:
            return dict(error=message_of(error))
        except Exception as error:  # of whatever kind: the others are to run
            print_log(traceback.format_exc(), 'current', logging.ERROR)
            return dict(error=f'{type(error).__name__}: {error}')

    def _run(self, cfg: Config) -> dict:
        """Trains, if there is something to train, and tests once."""
        start = time.time()
        if cfg.get('train_cfg'):
            with tqdm(total=cfg.train_cfg.max_iters, leave=False) as bar:
                runner = train(cfg, bar)
            found = chosen(runner, BETAS)
        else:
            runner, found = Runner.from_cfg(cfg), {}
        middle = time.time()
        figures = measure(runner.model, self._test_loaders(cfg, runner.model),
                          BETAS)
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
