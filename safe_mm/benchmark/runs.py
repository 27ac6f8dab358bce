"""Whole iterations, from images and from cached features, and train.py."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, Dict, Iterator

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..config import load_config
from ..feature_cache import cache_features
from ..registry import DATASETS, MODELS
from .floors import Floors
from .stock import BATCH, dense, naive_step, random_images, safe_step
from .timing import seconds

BLOCK = 20  # iterations of one side before the other's turn
LENGTH = 12800  # iterations of the paper's schedule
VIEWS = {1: 200, 4: 800, 16: 3200}  # of 100 classes, as Caltech101, by shots


def config_of(name: str, config: str) -> Config:
    """A config for another CLIP of random weights."""
    cfg = load_config(
        Namespace(
            config=config,
            shots=16,
            amp=False,
            launcher='none',
            local_rank=0,
            work_dir=None,
            no_pin_memory=False,
            dataset=None,
            clip=f'{name}:None',
            cfg_options={},
        )
    )
    init_default_scope(cfg.default_scope)
    if not cfg.train_dataloader.num_workers:
        cfg.train_dataloader.num_workers = 2
    return cfg


def block_times(batches: Iterator, step: Callable, count: int) -> float:
    """Seconds of an iteration, data loading included; the median."""
    step(next(batches))  # to warm up
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step(next(batches))
        times.append(time.perf_counter() - start)
    return median(times)


def iterations(name: str, floors: Floors, config: str, folder: str, count: int) -> Dict[str, dict]:
    """An iteration from images against one from cached features.

    Both load the same pictures, in turns of some iterations.
    """
    cfg = config_of(name, config)
    model = MODELS.build(cfg.model).eval()
    images = DATASETS.build(cfg.train_dataloader.dataset)
    start = time.perf_counter()
    features = cache_features(model, images, 'dense', Path(folder), num_workers=2)
    once = (time.perf_counter() - start) / len(features)
    naive, ours = naive_step(name), safe_step(name)
    sides = dict(
        naive=(
            dict(cfg.train_dataloader, dataset=images),
            lambda batch: naive(model.data_preprocessor(batch)['inputs']),
        ),
        ours=(
            dict(
                cfg.train_dataloader,
                dataset=features,
                num_workers=0,
                persistent_workers=False,
                collate_fn=default_collate,
            ),
            lambda batch: ours(batch['inputs']),
        ),
    )
    blocks = {side: [] for side in sides}
    for _ in range(max(1, count // BLOCK)):
        for side, (loader, step) in sides.items():
            batches = iter(Runner.build_dataloader(loader, seed=1))
            blocks[side].append(block_times(batches, step, min(count, BLOCK)))
            del batches  # its workers end with it
    figures = {side: median(times) for side, times in blocks.items()}
    figures['floor'] = floors.step
    figures['ratio'] = median(a / b for a, b in zip(blocks['naive'], blocks['ours']))
    rows = {
        f'{name} iteration, images against cached features': figures,
        f'{name} dense features of a view, once': dict(ours=once, floor=floors.trunk),
    }
    for shots, views in VIEWS.items():
        total = dict(
            naive=LENGTH * figures['naive'],
            ours=LENGTH * figures['ours'] + once * views,
            floor=partial(floors.run, LENGTH, views),
        )
        rows[f'{name} run of {LENGTH} iterations, {shots} shots, extrapolated'] = dict(
            total, ratio=total['naive'] / total['ours']
        )
    return rows


def train(name: str, config: str, folder: str, count: int, *options: str) -> float:
    """Runs train.py on one shot; seconds from its start to its end."""
    start = time.perf_counter()
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'safe_mm',
            'train',
            config,
            '--shots',
            '1',
            '--no-validate',
            '--work-dir',
            f'{folder}/{name}',
            '--clip',
            f'{name}:None',
            '--cfg-options',
            f'train_cfg.max_iters={count}',
            'default_hooks.checkpoint.interval=0',
            'default_hooks.logger.interval=10',
            *options,
        ],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    return time.perf_counter() - start


def runner(name: str, floors: Floors, config: str, folder: str, count: int) -> Dict[str, dict]:
    """train.py: an iteration beside the bare step, and the way to the first.

    That way is Python's imports, for which there is no floor.
    """
    store = f'default_hooks.feature_cache.root={folder}'
    train(name, config, folder, max(count, BLOCK), store)
    logs = Path(folder, name).glob('*/vis_data/scalars.json')
    lines = max(logs, key=os.path.getmtime).read_text().splitlines()
    times = [json.loads(line)['time'] for line in lines if 'loss' in line]
    x, step = dense(name), safe_step(name, classes=10)
    bare = seconds(dict(step=lambda: step(x)), count)['step']
    start = dict(
        naive=train(name, config, folder, 1, 'default_hooks.feature_cache=None'),
        ours=train(name, config, folder, 1, store),
    )
    return {
        f'{name} iteration of train.py on cached features': dict(
            ours=median(times), floor=floors.step
        ),
        f'{name} the same step, without data and Runner': dict(ours=bare, floor=floors.step),
        f'{name} train.py of one iteration, images against cached features': dict(
            start, ratio=start['naive'] / start['ours']
        ),
    }


def print_peak(name: str, side: str) -> None:
    """Prints the peak memory of this process in GB after a few steps."""
    if side == 'naive':
        step, inputs = naive_step(name), random_images(name)
    else:
        step = safe_step(name)
        inputs = torch.randn(BATCH, *dense(name, 1).shape[1:])
    for _ in range(3):
        step(inputs)
    status = Path('/proc/self/status').read_text().split()
    print(int(status[status.index('VmHWM:') + 1]) / 1e6)


def memory(name: str, floors: Floors) -> Dict[str, dict]:
    """Peak memory of training, each side in a process of its own (Linux)."""
    found = {}
    for side in ('naive', 'ours'):
        code = f'from {__name__} import print_peak; print_peak({name!r}, {side!r})'
        text = subprocess.run(
            [sys.executable, '-c', code], check=True, capture_output=True, text=True
        ).stdout
        found[side] = float(text.split()[-1])
    return {
        f'{name} peak memory of training, GB': dict(
            found, ratio=found['naive'] / found['ours'], floor=floors.memory
        )
    }
