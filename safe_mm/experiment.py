"""A few-shot task: trained, chosen by validation, tested."""
import shutil
from pathlib import Path
from typing import Dict, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .checkpoint import read_checkpoint
from .evaluation import (
    ZERO_SHOT,
    accuracy_by_beta,
    attention_on_part,
    deployed_accuracy,
)
from .feature_store import ROOT, store_features
from .models import CacheHead
from .pooled import pool_all
from .registry import DATASETS
from .sweep.records import DEPLOYED


class TickHook(Hook):
    """Moves a progress bar with each iteration."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self.bar.update()


def train(cfg: Config, bar: tqdm) -> Runner:
    """Trains a task; its model then has the chosen weights."""
    shutil.rmtree(cfg.work_dir, ignore_errors=True)  # of a run that was killed
    runner = Runner.from_cfg(cfg)
    runner.register_hook(TickHook(bar))
    runner.train()
    best = read_checkpoint(runner.message_hub.get_info('best_ckpt'))
    runner.model.load_state_dict(
        {**runner.model.state_dict(), **best['state_dict']})
    return runner


def test_datasets(cfg: Config) -> Dict[str, Dataset]:
    """Test images, and their variants.

    Args:
        cfg (Config): Its ``variants``, if any, have, by name, what differs
            in the test dataset.
    """
    return {
        name: DATASETS.build({**cfg.test_dataloader.dataset, **changes})
        for name, changes in cfg.get('variants', {'test': {}}).items()
    }


def store_settings(cfg: Config) -> Tuple[Path, torch.dtype]:
    """Where stored features are, and their type."""
    store = cfg.default_hooks.get('store') or {}
    return (Path(store.get('root', ROOT)).expanduser(),
            getattr(torch, store.get('dtype', 'float32')))


def test_loaders(cfg: Config, model: ImageClassifier) -> Dict[str, DataLoader]:
    """Stored features of :func:`test_datasets`, by ``model``."""
    root, dtype = store_settings(cfg)
    loaders = {}
    for name, dataset in test_datasets(cfg).items():
        features = store_features(
            model, model.backbone, dataset, root, dtype,
            cfg.test_dataloader.num_workers, f'dense features of {name}')
        loaders[name] = DataLoader(
            features, batch_size=256, collate_fn=default_collate)
    return loaders


def attention(model: ImageClassifier, loader: DataLoader) -> Dict[str, float]:
    """:func:`attention_on_part`, of data that knows where the part is."""
    dataset = loader.dataset.dataset
    if not (hasattr(dataset, 'part_mask') and hasattr(model.neck, 'beta')):
        return {}
    masks = [dataset.part_mask(i) for i in range(len(dataset))]
    return attention_on_part(model, loader, torch.tensor(np.stack(masks)))


def accuracies(model: ImageClassifier, loader: DataLoader,
               betas: Sequence[float]) -> Dict[str, float]:
    """Accuracy in percent on images that are pooled once.

    Returns:
        dict[str, float]: 'deployed', of a model without a beta or with a
        cache, as it is; and of a blended one by beta, as text or
        'zero-shot', without its cache.
    """
    model.head.among = loader.dataset.metainfo.get('subset')
    pooled, found = pool_all(model, loader), {}
    blended = hasattr(model.neck, 'beta')
    if isinstance(model.head, CacheHead) or not blended:
        found[DEPLOYED] = deployed_accuracy(model, pooled)
    if blended:
        by_beta = accuracy_by_beta(model.head, pooled, betas)
        found.update({
            'zero-shot' if beta == ZERO_SHOT else str(beta): value
            for beta, value in by_beta.items()
        })
    return found


def measure(model: ImageClassifier, loaders: Dict[str, DataLoader],
            betas: Sequence[float]) -> dict:
    """What is to be known of a model on test data.

    Returns:
        dict: 'test', variant -> :func:`accuracies`; 'attention' on the part
        that tells a creature's class, in the first variant.
    """
    first = next(iter(loaders.values()))
    model.head.set_classes(first.dataset.metainfo['classes'],
                           first.dataset.metainfo.get('templates'))
    return dict(
        test={
            name: accuracies(model, loader, betas)
            for name, loader in loaders.items()
        },
        attention=attention(model, first))


def chosen(runner: Runner, betas: Sequence[float]) -> dict:
    """What a run chose on validation data.

    Returns:
        dict: 'validation', the accuracy in percent for which the weights
        were chosen, and 'validation_by', :func:`accuracies` with them;
        'setting', lr and weight decay; 'grid', the validation accuracy of
        each setting, if there were several; 'search', alpha, gamma and beta
        of a cache.
    """
    hub = runner.message_hub
    used = runner.optim_wrapper.optimizer.defaults
    return dict(
        validation=hub.get_info('best_score'),
        validation_by=accuracies(runner.model, runner.val_loop.dataloader,
                                 betas),
        setting=hub.runtime_info.get(
            'setting',
            dict(lr=used['lr'], weight_decay=used['weight_decay'])),
        grid=hub.runtime_info.get('grid', []),
        search=hub.runtime_info.get('search', {}))
