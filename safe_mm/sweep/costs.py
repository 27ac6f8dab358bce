"""What a sweep will take, from costs per unit that are measured first."""
import copy
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Set, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from ..benchmark.timing import seconds
from ..engine import has_pool_to_train
from ..engine.freeze_hook import freeze_except
from ..errors import InputError, message_of
from ..experiment import store_settings, test_datasets
from ..feature_store import CHUNK, StoredFeatures, store_features
from ..registry import DATASETS
from .sweep import Sweep
from .task import Task

BATCH = 64  # images that are pooled at once


class UnitCosts(NamedTuple):
    """Measured on one process of this machine.

    Attributes:
        extract (float): Seconds to load an image and to compute and write
            its dense features.
        bytes (float): On disk, of an image's dense features.
        step (float): Seconds of a training step of all settings, with its
            validation's share left out; 0 where nothing is trained.
        pool (float): Seconds to pool an image by all poolings.
    """
    extract: float
    bytes: float
    step: float
    pool: float


class Cost(NamedTuple):
    """Seconds of one process, and bytes on disk."""
    seconds: float
    bytes: float


def plan(sweep: Sweep, tasks: List[Task]) -> str:
    """What is to be run, what it will take, and what cannot run.

    Features that tasks share are counted with the first of them.

    Args:
        sweep (Sweep): Knows what is done already.
        tasks (list[Task]): All tasks.

    Returns:
        str: A line for each config and data set, and a sum.
    """
    costs, rows, faults, done = Costs(), {}, [], sweep.done()
    for job in sweep.jobs(tasks):
        name = f'{Path(job.task.config).stem} {job.cfg.task}'
        row = rows.setdefault(name, [])
        if job.name in done:
            continue
        try:
            row.append(costs.of(job.cfg))
        except InputError as error:
            faults.append(f'{name}: {message_of(error)}')
    lines = [f'{"":40}{"tasks":>6}{"time":>17}{"GB":>8}']
    todo = [cost for row in rows.values() for cost in row]
    for name, row in [*rows.items(), ('sum', todo)]:
        took = timedelta(seconds=round(sum(cost.seconds for cost in row)))
        size = sum(cost.bytes for cost in row) / 1e9
        lines.append(f'{name:40}{len(row):6}{took!s:>17}{size:8.1f}')
    lines.append(f'\nTasks without a record, on one process of this machine '
                 f'({get_device()}). Processes share the tasks. GB is what '
                 'stored features take on disk, as if none were there yet.')
    lines += [f'cannot run: {fault}' for fault in dict.fromkeys(faults)]
    lines += costs.measured()
    return '\n'.join(lines)


class Costs:
    """What tasks will take, one after the other."""

    def __init__(self) -> None:
        self._units: Dict[Tuple[str, str], UnitCosts] = {}  # measured already
        self._tests: Dict[str, Dict[str, Dataset]] = {}  # of the last task
        self._stored: Set[str] = set()  # features that were counted already

    def of(self, cfg: Config) -> Cost:
        """What one task will take."""
        tests = self._test_datasets(cfg)
        parts = {f'test {name}': data for name, data in tests.items()}
        iters = validated = 0
        if cfg.get('train_cfg'):
            parts['train'] = DATASETS.build(cfg.train_dataloader.dataset)
            parts['val'] = DATASETS.build(cfg.val_dataloader.dataset)
            iters = cfg.train_cfg.max_iters
            times = iters // cfg.train_cfg.get('val_interval', 1)
            runs = cfg.model.neck.get('runs') or 1
            # AttnPool_O once for all runs; a cache alone is searched once
            validated = len(parts['val']) * max(1, times) * (runs + 1) / 2
        unit = self._unit_costs(cfg, next(iter(tests.values())))
        images = sum(len(data) for part, data in parts.items()
                     if self._is_new(cfg, part))
        tested = sum(map(len, tests.values()))
        return Cost(
            images * unit.extract + iters * unit.step +
            (validated + tested) * unit.pool, images * unit.bytes)

    def measured(self) -> List[str]:
        """The costs per unit, a line for each kind of model."""
        return [
            f'measured for {name}: features {1e3 * unit.extract:.1f} ms and '
            f'{unit.bytes / 1e3:.0f} kB an image, training step '
            f'{1e3 * unit.step:.1f} ms, poolings {1e3 * unit.pool:.2f} ms an '
            'image' for (name, _), unit in self._units.items()
        ]

    def _test_datasets(self, cfg: Config) -> Dict[str, Dataset]:
        name = str([cfg.test_dataloader.dataset, cfg.get('variants')])
        if name not in self._tests:
            self._tests = {name: test_datasets(cfg)}
        return self._tests[name]

    def _unit_costs(self, cfg: Config, dataset: Dataset) -> UnitCosts:
        kind = (Path(cfg.work_dir).parents[1].name,
                str([cfg.clip, cfg.model.neck, cfg.get('optim_wrapper')]))
        if kind not in self._units:
            self._units[kind] = measure_units(cfg, dataset)
        return self._units[kind]

    def _is_new(self, cfg: Config, part: str) -> bool:
        """Whether no earlier task had these features computed."""
        sample = [] if part.startswith('test') else [cfg.shots, cfg.seed]
        name = str([cfg.clip, cfg.task, part, *sample])
        new = name not in self._stored
        self._stored.add(name)
        return new


def measure_units(cfg: Config, dataset: Dataset) -> UnitCosts:
    """Measures each cost on a few images of a data set."""
    some = dataset.get_subset(list(range(min(CHUNK, len(dataset)))))
    root, dtype = store_settings(cfg)
    with tempfile.TemporaryDirectory(
            dir=root if root.is_dir() else None) as folder:
        cfg = copy.deepcopy(cfg)
        cfg.work_dir, cfg.experiment_name = folder, Path(folder).name
        model = Runner.from_cfg(cfg).model.eval()
        for warmed_up in ('once', 'again'):
            start = time.perf_counter()
            stored = store_features(
                model, model.backbone, some, Path(folder, warmed_up), dtype,
                cfg.test_dataloader.num_workers)
        extract = (time.perf_counter() - start) / len(some)
        size = sum(file.stat().st_size for file in stored.folder.glob('*'))
        batch = batch_of(stored, get_device())
    classes = len(dataset.metainfo['classes'])
    width = model.head.class_weights.shape[1]
    model.head.class_weights = torch.randn(classes, width).to(get_device())
    sides = dict(pool=lambda: pool_once(model, batch))
    if has_pool_to_train(cfg):
        sides['step'] = step_of(model, cfg, batch)
    times = seconds(sides, repeats=5)
    pool = times['pool'] / len(batch)
    step = times.get('step', pool * cfg.train_dataloader.batch_size
                     if cfg.get('train_dataloader') else 0.)
    return UnitCosts(extract, size / len(some), step, pool)


def batch_of(stored: StoredFeatures, device: str) -> torch.Tensor:
    """Dense features, as many as are pooled at once."""
    rows = [stored[i % len(stored)]['inputs'] for i in range(BATCH)]
    return torch.stack(rows).to(device, torch.float32)


@torch.no_grad()
def pool_once(model: ImageClassifier, batch: torch.Tensor) -> None:
    """Both poolings of a batch; of runs side by side, one of them."""
    for pool in (model.neck.attn_pool_o,
                 getattr(model.neck, 'attn_pool_f', None)):
        if pool is not None:
            pool.pools[0](batch) if hasattr(pool, 'pools') else pool(batch)


def step_of(model: ImageClassifier, cfg: Config,
            batch: torch.Tensor) -> Callable[[], None]:
    """A training step of the pooling layer, or of as many as are trained."""
    model = copy.deepcopy(model)
    freeze_except(model, ['neck.attn_pool_f.*'])
    model.neck.train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    features = batch[:cfg.train_dataloader.batch_size]
    samples = [DataSample().set_gt_label(0).to(batch.device)
               for _ in features]

    def step() -> None:
        losses = model.head.loss(model.neck((features, )), samples)
        optimizer.update_params(sum(losses.values()))

    return step
