"""A few-shot task: trained, chosen by validation, tested."""
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Dict, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch.utils.data import DataLoader
from tqdm import tqdm

from .checkpoint import read_checkpoint
from .config import default_work_dir, load_config
from .engine import use_grid
from .errors import InputError
from .evaluation import ZERO_SHOT, accuracy_by_beta, attention_on_part
from .feature_store import ROOT, store_features
from .models import CacheHead
from .records import DEPLOYED
from .registry import DATASETS


class TickHook(Hook):
    """Moves a progress bar with each iteration."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self.bar.update()


def task_config(args: Namespace, folder: Path, task: dict) -> Config:
    """The config of one task.

    Args:
        args (Namespace): Common options, and ``grid``, whether to train all
            settings of the config's grid.
        folder (Path): Of work dirs.
        task (dict): ``shots``, ``seed`` and, among drawn creatures,
            ``task``.

    Raises:
        InputError: An option that has no effect here.
    """
    if args.launcher != 'none' or args.amp:
        raise InputError('--launcher and --amp have no effect here: tasks run '
                         'one after the other in one process.')
    cfg = load_config(Namespace(**{**vars(args), 'work_dir': None, **task}))
    if not cfg.get('train_cfg') or cfg.get('load_from'):
        raise InputError(f'{args.config} trains nothing: the records of SAFE '
                         'have zero-shot accuracy.' if not cfg.get('train_cfg')
                         else 'load_from is of one task, not of many.')
    clip = f'{cfg.clip.model_name}_{Path(str(cfg.clip.pretrained)).stem}'
    name = Path(default_work_dir(cfg, args.config)).name
    cfg.work_dir = str(folder / Path(args.config).stem / clip / name)
    cfg.experiment_name = f'{clip}_{name}'
    cfg.default_hooks.checkpoint.interval = 0  # the best alone
    if args.grid:
        use_grid(cfg)
    cfg.log_level = 'ERROR'
    return cfg


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


def test_loaders(cfg: Config, model: ImageClassifier) -> Dict[str, DataLoader]:
    """Stored features of the test images, and of their variants.

    Args:
        cfg (Config): Its ``variants``, if any, have, by name, what differs
            in the test dataset.
        model (ImageClassifier): Whose features.

    Returns:
        dict[str, DataLoader]: Variant -> batches of dense features.
    """
    store = cfg.default_hooks.get('store') or {}
    root = Path(store.get('root', ROOT)).expanduser()
    dtype = getattr(torch, store.get('dtype', 'float32'))
    loaders = {}
    for name, changes in cfg.get('variants', {'test': {}}).items():
        dataset = DATASETS.build({**cfg.test_dataloader.dataset, **changes})
        features = store_features(
            model, model.backbone, dataset, root, dtype, desc=name)
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


def test_accuracy(model: ImageClassifier, loader: DataLoader,
                  betas: Sequence[float]) -> Dict[str, float]:
    """Accuracy in percent by beta; of a cache, with the beta of its keys."""
    model.head.among = loader.dataset.metainfo.get('subset')
    if isinstance(model.head, CacheHead) or not hasattr(model.neck, 'beta'):
        beta = getattr(model.neck, 'beta', 0.)
        return {DEPLOYED: accuracy_by_beta(model, loader, [beta])[beta]}
    return {
        'zero-shot' if beta == ZERO_SHOT else str(beta): accuracy
        for beta, accuracy in accuracy_by_beta(model, loader, betas).items()
    }


def measure(runner: Runner, loaders: Dict[str, DataLoader],
            betas: Sequence[float]) -> dict:
    """What is to be known of a task's run.

    Returns:
        dict: 'validation', the accuracy in percent for which the weights
        were chosen; 'setting', lr and weight decay; 'grid', the validation
        accuracy of each setting, if there were several; 'search', alpha,
        gamma and beta of a cache; 'test', variant -> accuracy in percent by
        beta (as text, or 'zero-shot'), or 'deployed'; 'attention' on the
        part that tells a creature's class, in the first variant.
    """
    hub, model = runner.message_hub, runner.model
    used = runner.optim_wrapper.optimizer.defaults
    return dict(
        validation=hub.get_info('best_score'),
        setting=hub.runtime_info.get(
            'setting',
            dict(lr=used['lr'], weight_decay=used['weight_decay'])),
        grid=hub.runtime_info.get('grid', []),
        search=hub.runtime_info.get('search', {}),
        test={
            name: test_accuracy(model, loader, betas)
            for name, loader in loaders.items()
        },
        attention=attention(model, next(iter(loaders.values()))))
