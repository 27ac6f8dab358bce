"""Executes a run: train, choose by validation, test, write the result."""

import json
import os
import shutil
import time
import traceback
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..attention import attention_on_part
from ..checkpoint import read_checkpoint
from ..environment import versions
from ..errors import InputError, message_of
from ..evaluation import evaluate
from ..feature_cache import ROOT, cache_features, collate
from ..models import CLIPClassifier
from ..registry import DATASETS, MODELS
from .run import ERROR, RESULT, Run, run_config, run_key, weights_hash

BATCH = 256


class ProgressHook(Hook):
    """Advances a progress bar with each iteration."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self.bar.update()


def execute(args: Namespace, run: Run) -> Optional[str]:
    """Executes a run and writes its ``result.json``, or ``error.txt``.

    Returns:
        str: The error, or None.
    """
    folder = None
    try:
        cfg = run_config(args, run)
        folder = Path(cfg.work_dir)
        result = dict(run_key(cfg, run), **train_and_test(cfg))
        write(folder / RESULT, json.dumps(result, indent=1))
        return None
    except InputError as error:
        message = short = message_of(error)
    except Exception as error:  # the other runs are to be executed
        message = traceback.format_exc()
        short = f'{type(error).__name__}: {error}'
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / ERROR, message)
    return short


def write(path: Path, text: str) -> None:
    """Writes a file completely or not at all."""
    draft = path.with_suffix(f'.{os.getpid()}')
    draft.write_text(text, encoding='utf-8')
    os.replace(draft, path)


def train_and_test(cfg: Config) -> Dict[str, Any]:
    """What a result says beside its key."""
    start = time.time()
    runner, chosen = build_runner(cfg), {}
    if cfg.get('train_cfg'):
        with tqdm(total=cfg.train_cfg.max_iters, leave=False) as bar:
            train(runner, bar)
        chosen = choices(runner)
    middle = time.time()
    model = runner.model
    size = sum(dict(model.named_parameters())[name].numel() for name in model.trainable)
    return dict(
        **chosen,
        **test(runner, test_datasets(cfg)),
        trained_parameters=size,
        seconds=dict(train=middle - start, test=time.time() - middle),
        made=made_by(cfg),
    )


def build_runner(cfg: Config) -> Runner:
    """A Runner in an empty work dir."""
    shutil.rmtree(cfg.work_dir, ignore_errors=True)  # of a killed run
    return Runner.from_cfg(cfg)


def train(runner: Runner, bar: tqdm) -> None:
    """Trains; the model then has the chosen weights."""
    runner.register_hook(ProgressHook(bar))
    runner.train()
    best = read_checkpoint(runner.message_hub.get_info('best_ckpt'))
    runner.model.load_state_dict(best['state_dict'], strict=False)


def choices(runner: Runner) -> Dict[str, Any]:
    """What validation chose.

    Returns:
        dict: 'validation', the accuracy in percent; 'validation_figures',
        those of the neck; 'setting', lr and weight decay; 'grid', the accuracy of each setting, if
        there were several; 'hyperparameters'.
    """
    info = runner.message_hub.runtime_info
    used = runner.optim_wrapper.optimizer.defaults
    setting = dict(lr=used['lr'], weight_decay=used['weight_decay'])
    return dict(
        validation=info['best_score'],
        validation_figures=evaluate(
            runner.model, runner.val_loop.dataloader, runner.cfg.test_evaluator
        ),
        setting=info.get('setting', setting),
        grid=info.get('grid', []),
        hyperparameters=info.get('search', {}),
    )


def test_datasets(cfg: Config) -> Dict[str, Dataset]:
    """Test images by variant; what differs is in the config's ``variants``."""
    return {
        name: DATASETS.build({**cfg.test_dataloader.dataset, **changes})
        for name, changes in cfg.get('variants', {'test': {}}).items()
    }


def cached_loader(cfg: Config, model: CLIPClassifier, dataset: Dataset, desc: str) -> DataLoader:
    """A loader of test data, of features where the model has a frozen stage and the config a
    feature cache.
    """
    cache = cfg.default_hooks.get('feature_cache')
    stage = model.frozen_stage
    if not cache or stage == 'image':
        own = dict(cfg.test_dataloader, dataset=dataset)
        return Runner.build_dataloader(own)
    features = cache_features(
        model,
        dataset,
        stage,
        Path(cache.get('root', ROOT)).expanduser(),
        getattr(torch, cache.get('dtype', 'float32')),
        cfg.test_dataloader.num_workers,
        desc,
    )
    return DataLoader(features, batch_size=BATCH, collate_fn=collate)


def test(runner: Runner, datasets: Dict[str, Dataset]) -> Dict[str, Any]:
    """Figures of a model on test data.

    Returns:
        dict: 'test', variant -> accuracy and the neck's figures; 'attention'
        on the part that tells a creature's class, in the first variant.
    """
    found, attention = {}, {}
    for name, dataset in datasets.items():
        loader = cached_loader(runner.cfg, runner.model, dataset, f'features of {name} images')
        found[name] = evaluate(runner.model, loader, runner.cfg.test_evaluator)
        if not attention:
            attention = part_attention(runner.model, loader, dataset)
    return dict(test=found, attention=attention)


def part_attention(model: CLIPClassifier, loader: DataLoader, dataset: Dataset) -> Dict[str, float]:
    """Attention on the part, of data that knows where the part is."""
    if not hasattr(dataset, 'part_mask') or model.frozen_stage == 'pooled':
        return {}
    masks = np.stack([dataset.part_mask(i) for i in range(len(dataset))])
    return attention_on_part(model, loader, torch.tensor(masks))


def cache_test_features(args: Namespace, runs: Sequence[Run]) -> None:
    """Caches the features of test images that runs share."""
    done = set()
    for run in runs:
        if run.config not in done:
            done.add(run.config)
            cfg = run_config(args, run)
            model = MODELS.build(cfg.model).to(get_device())
            for name, dataset in test_datasets(cfg).items():
                cached_loader(cfg, model, dataset, f'features of {name}')


def made_by(cfg: Config) -> Dict[str, Any]:
    """With what, on what and when a result was made."""
    gpu = get_device() == 'cuda'
    clip: Tuple = cfg.model.clip.model_name, cfg.model.clip.pretrained
    return dict(
        versions=versions(),
        weights=weights_hash(*clip),
        device=torch.cuda.get_device_name() if gpu else f'CPU, {torch.get_num_threads()} threads',
        date=time.strftime('%Y-%m-%d %H:%M:%S'),
    )
