"""Executes a run: train, choose by validation, test, write the result."""

import gc
import json
import time
import traceback
from argparse import Namespace
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..attention import attention_on_part
from ..checkpoint import read_checkpoint
from ..datasets.build import test_datasets
from ..engine import QuietRunner
from ..environment import versions
from ..errors import InputError, full_disk, message_of
from ..evaluation import evaluate
from ..files import make_folder, write_text
from ..models import CLIPClassifier
from ..registry import HOOKS, MODELS
from ..work_dir import claimed, empty_work_dir
from . import ERROR, RESULT
from .costs import seconds_per_image, sizes
from .interpolation import check_interpolates, interpolation_curve
from .run import Run, run_config, run_key, weights_hash

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
        folder = make_folder(Path(cfg.work_dir), '--work-dir')
        with claimed(folder):
            if not (folder / RESULT).exists():  # of another sweep, since this one began
                empty_work_dir(folder)  # of a killed run
                result = dict(run_key(cfg, run), **train_and_test(cfg))
                write_text(folder / RESULT, json.dumps(result, indent=1))
        return None
    except InputError as error:
        message = short = message_of(error)
    except Exception as error:  # the other runs are to be executed
        message = traceback.format_exc()
        short = full_disk(error) or f'{type(error).__name__}: {error}'
    finally:
        gc.collect()  # of the runner, whose cycles keep its memory
    if folder is not None:
        with suppress(InputError):  # a full disk is the error
            write_text(folder / ERROR, message)
    return short


def train_and_test(cfg: Config) -> Dict[str, Any]:
    """The entries of a result, without those of its key."""
    start = time.time()
    runner, chosen = build_runner(cfg), {}
    if cfg.get('new_classes'):
        runner.model.head.check_predicts_new_classes()
    check_interpolates(runner.model, cfg.get('interpolations', ()), runner.hooks)
    if cfg.get('train_cfg'):
        with tqdm(total=cfg.train_cfg.max_iters, leave=False) as bar:
            train(runner, bar)
        chosen = choices(runner)
    middle = time.time()
    datasets = test_datasets(cfg)
    tested = test(runner, datasets)
    seconds = dict(train=middle - start, test=time.time() - middle)
    first = next(iter(datasets.values()))
    return dict(
        **chosen,
        **tested,
        **sizes(runner.model),
        seconds=dict(seconds, test_image=seconds_per_image(runner.model, first)),
        made=made_by(cfg),
    )


def build_runner(cfg: Config) -> Runner:
    """A Runner whose training reads features where it can."""
    runner = QuietRunner.from_cfg(cfg)
    images = runner._train_dataloader
    if images and runner.model.frozen_stage != 'image' and 'feature_cache' in cfg.default_hooks:
        # Features take their place before any is loaded
        images.update(num_workers=0, persistent_workers=False)
        images.pop('prefetch_factor', None)
    return runner


def train(runner: Runner, bar: tqdm) -> None:
    """Trains; the model then has the chosen weights."""
    runner.register_hook(ProgressHook(bar))
    runner.train()
    best = read_checkpoint(runner.message_hub.get_info('best_ckpt'))
    runner.model.load_state_dict(best['state_dict'], strict=False)


def choices(runner: Runner) -> Dict[str, Any]:
    """What validation chose.

    Returns:
        dict: 'validation', the accuracy in percent; 'validation_figures', those of the neck;
        'setting', lr and weight decay, or {} where a grid keeps the model before training; 'grid',
        the accuracy of each setting, if there were several; 'hyperparameters'.
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


def with_classes_of(variant: str, cfg: Config, model: CLIPClassifier) -> CLIPClassifier:
    """The trained model, or one of the variant's classes with the trained weights."""
    if variant not in cfg.get('new_classes', {}):
        return model
    other = MODELS.build({**cfg.model, **cfg.new_classes[variant]})
    other.load_state_dict(other.for_new_classes(model.state_dict()))
    return other.to(get_device())


def test_loader(cfg: Config, model: CLIPClassifier, dataset: BaseDataset, name: str) -> DataLoader:
    """A loader of test images, or of their features if the config has a feature cache."""
    own = cfg.test_dataloader
    if not cfg.default_hooks.get('feature_cache') or model.frozen_stage == 'image':
        return Runner.build_dataloader(dict(own, dataset=dataset))
    hook = HOOKS.build(cfg.default_hooks.feature_cache)
    features = hook.cache(model, dataset, own.num_workers, f'{name} images')
    return DataLoader(features, batch_size=BATCH, collate_fn=default_collate)


def accuracy_of(runner: Runner, model: CLIPClassifier, loader: DataLoader) -> float:
    return evaluate(model, loader, runner.cfg.test_evaluator)['accuracy']


def test(runner: Runner, datasets: Dict[str, BaseDataset]) -> Dict[str, Any]:
    """Figures of a model on test data.

    Returns:
        dict: 'test', variant -> accuracy and the neck's figures; 'attention' on the part that
        defines the class, in the first variant, of data with masks of parts.
    """
    found: Dict[str, Dict[str, float]] = {}
    attention: Dict[str, float] = {}
    for name, dataset in datasets.items():
        model = with_classes_of(name, runner.cfg, runner.model)
        loader = test_loader(runner.cfg, model, dataset, name)
        found[name] = evaluate(model, loader, runner.cfg.test_evaluator)
        alphas = runner.cfg.get('interpolations', ())
        if alphas:
            classes = runner.cfg.get('new_classes', {}).get(name, {})
            start = MODELS.build({**runner.cfg.model, **classes})
            accuracy = partial(accuracy_of, runner, model, loader)
            found[name].update(interpolation_curve(model, start, alphas, accuracy))
        has_masks = dataset.metainfo.get('part_masks') and model.frozen_stage != 'pooled'
        if has_masks and not attention:
            masks = np.stack([dataset.part_mask(i) for i in range(len(dataset))])
            attention = attention_on_part(model, loader, torch.tensor(masks))
    return dict(test=found, attention=attention)


def cache_test_features(args: Namespace, runs: Sequence[Run]) -> None:
    """Caches the features of test images that runs share."""
    for run in {run.config: run for run in runs}.values():
        cfg = run_config(args, run)
        model = MODELS.build(cfg.model).to(get_device())
        for name, dataset in test_datasets(cfg).items():
            test_loader(cfg, model, dataset, name)


def made_by(cfg: Config) -> Dict[str, Any]:
    """Versions, weights, device and date of a result."""
    gpu = get_device() == 'cuda'
    return dict(
        versions=versions(),
        weights=weights_hash(cfg.model.clip.model_name, cfg.model.clip.pretrained),
        device=torch.cuda.get_device_name() if gpu else f'CPU, {torch.get_num_threads()} threads',
        date=time.strftime('%Y-%m-%d %H:%M:%S'),
    )
