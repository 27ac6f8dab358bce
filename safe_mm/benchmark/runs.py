"""Whole iterations, train.py and memory."""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Callable, Iterator

import torch
from mmengine.dataset import default_collate
from mmengine.runner import Runner
from torch.utils.benchmark import timer

from ..config import load_config
from ..feature_cache import cache_features
from ..options import add_common_options
from ..registry import DATASETS, MODELS
from .encoders import BATCH, Costs, baseline_step, candidate_step, dense, random_images
from .timing import DEVICE, Row, compare, compare_seconds, seconds

BLOCK = 20  # iterations of a side before the other's turn
LENGTH = 12800  # iterations of the paper's schedule
VIEWS = {1: 200, 4: 800, 16: 3200}  # shots -> views of 100 classes, as in Caltech101


def measure(name: str, costs: Costs, config: str, folder: str, count: int) -> Iterator[Row]:
    """Rows as of :func:`modules.measure`, by ``count`` iterations of a config."""
    yield from iterations(name, costs, config, folder, count)
    yield from train_tool(name, costs, config, folder, count)
    sides = {side: partial(memory, name, side) for side in ('baseline', 'candidate')}
    # The floor: what is trained, its gradient and two moments
    figures = dict(compare(sides, turns=1), floor=4 * costs.trained / 1e9)
    yield 'peak memory of training, GB', figures, []


def iterations(name: str, costs: Costs, config: str, folder: str, count: int) -> Iterator[Row]:
    """An iteration from images against one from cached features, of the same pictures."""
    parser = ArgumentParser()
    add_common_options(parser)
    cfg = load_config(parser.parse_args([config, '--clip', f'{name}:None', '--shots', '16']))
    model = MODELS.build(cfg.model).eval().to(DEVICE)
    images = DATASETS.build(cfg.train_dataloader.dataset)
    start = timer()
    features = cache_features(model, images, 'dense', Path(folder), num_workers=2)
    once = (timer() - start) / len(features)
    step, safe_step = baseline_step(name), candidate_step(name)
    loader = dict(cfg.train_dataloader, dataset=images)
    loader['num_workers'] = loader['num_workers'] or 2
    cached = dict(loader, dataset=features, num_workers=0, collate_fn=default_collate)
    cached['persistent_workers'] = False

    def from_images() -> float:
        preprocess = model.data_preprocessor
        return iteration_seconds(loader, lambda batch: step(preprocess(batch)['inputs']), count)

    def from_features() -> float:
        return iteration_seconds(cached, lambda batch: safe_step(batch['inputs'].to(DEVICE)), count)

    figures = compare(dict(baseline=from_images, candidate=from_features), max(1, count // BLOCK))
    yield 'iteration, images against cached features', figures, costs.step()
    yield 'dense features of a view, once', dict(candidate=once), costs.trunk()
    for shots, views in VIEWS.items():
        slow, fast = LENGTH * figures['baseline'], LENGTH * figures['candidate'] + views * once
        total = dict(baseline=slow, candidate=fast, ratio=slow / fast)
        work = LENGTH * costs.step() + views * costs.trunk()
        yield f'run of {LENGTH} iterations, {shots} shots, extrapolated', total, work


def iteration_seconds(loader: dict, step: Callable, count: int) -> float:
    """Median time of an iteration, data loading included, after one to warm up.

    The loader's workers end with it, so as not to slow the other side down.
    """
    batches = iter(Runner.build_dataloader(loader, seed=1))
    return seconds(lambda: step(next(batches)), 1 + min(count, BLOCK))


def train_tool(name: str, costs: Costs, config: str, folder: str, count: int) -> Iterator[Row]:
    """train.py: an iteration beside the bare step, and the time until the first.

    That time is Python's imports, for which there is no floor.
    """
    arguments = [sys.executable, '-m', 'safe_mm', 'train', config, '--work-dir', f'{folder}/{name}']
    arguments += f'--clip {name}:None --shots 1 --no-validate --cfg-options'.split()
    arguments += ['default_hooks.checkpoint.interval=0', 'default_hooks.logger.interval=10']
    hook = 'default_hooks.feature_cache'

    def train(iterations: int, cache: str) -> None:
        command = [*arguments, f'train_cfg.max_iters={iterations}', cache]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    train(max(count, BLOCK), f'{hook}.root={folder}')
    logs = Path(folder, name).glob('*/vis_data/scalars.json')
    lines = max(logs, key=os.path.getmtime).read_text().splitlines()
    times = [json.loads(line)['time'] for line in lines if 'loss' in line]
    figures = dict(candidate=median(times))
    yield 'iteration of train.py on cached features', figures, costs.step()
    x, step = dense(name), candidate_step(name, classes=10)
    figures = compare_seconds(dict(candidate=lambda: step(x)), count)
    yield 'the same step, without data and Runner', figures, costs.step()
    start = dict(
        baseline=lambda: seconds(lambda: train(1, f'{hook}=None')),
        candidate=lambda: seconds(lambda: train(1, f'{hook}.root={folder}')),
    )
    title = 'train.py of one iteration, images against cached features'
    yield title, compare(start, turns=1), []


def memory(name: str, side: str) -> float:
    """Peak memory of training in GB, in a process of its own (Linux)."""
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(peak_memory, name, side).result()


def peak_memory(name: str, side: str) -> float:
    """Peak memory of this process in GB after a few training steps; on a GPU, the GPU's."""
    if side == 'baseline':
        step, inputs = baseline_step(name), random_images(name)
    else:
        step = candidate_step(name)
        inputs = torch.randn(BATCH, *dense(name, 1).shape[1:], device=DEVICE)
    for _ in range(3):
        step(inputs)
    if DEVICE == 'cuda':
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path('/proc/self/status').read_text().split()
    return int(status[status.index('VmHWM:') + 1]) / 1e6
