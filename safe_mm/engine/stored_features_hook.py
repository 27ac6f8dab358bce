"""Training on dense features that are computed once."""
from pathlib import Path
from typing import Union

import torch
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from ..errors import InputError
from ..feature_store import ROOT, store_features
from ..registry import HOOKS
from .joined_loader import JoinedLoader
from .unwrap import unwrap


@HOOKS.register_module()
class StoredFeaturesHook(Hook):
    """Computes G(x) of the training and validation images once, and keeps it.

    Later runs on the same images read it from disk. Order of the images,
    results and checkpoints are those of a run without this hook, up to the
    precision of what is stored. Unless that is bfloat16, the trunk computes in
    float32, also under ``--amp``.

    Args:
        trunk (str): Name of the frozen feature extractor in the model.
            Defaults to 'backbone'.
        dtype (str): 'float32'; 'float16' for half the space; or 'bfloat16',
            in which the trunk computes, too: half the time where the
            processor knows it. Defaults to 'float32'.
        root (str): Where to keep features.
            Defaults to '~/.cache/safe_mm/features'.

    Raises:
        InputError: The trunk is not frozen, the pipeline draws at random, or
            the disk is full.
    """

    priority = 'NORMAL'  # after names are known and the trunk is frozen

    def __init__(self,
                 trunk: str = 'backbone',
                 dtype: str = 'float32',
                 root: str = ROOT) -> None:
        if dtype not in ('float32', 'float16', 'bfloat16'):
            raise InputError(f'StoredFeaturesHook: dtype={dtype!r} should be '
                             '"float32", "float16" or "bfloat16".')
        self.trunk = trunk
        self.dtype = getattr(torch, dtype)
        self.root = Path(root).expanduser()

    def before_train(self, runner) -> None:
        """Puts features in place of images."""
        loop = runner.train_loop
        loop.dataloader = self._features_of(runner, 'train', loop.dataloader)
        loop.dataloader_iterator = _InfiniteDataloaderIterator(loop.dataloader)
        if runner.val_loop is not None:
            runner.val_loop.dataloader = self._features_of(
                runner, 'val', runner.val_loop.dataloader)

    def _features_of(self, runner, part: str,
                     images: Union[DataLoader, JoinedLoader]
                     ) -> Union[DataLoader, JoinedLoader]:
        if isinstance(images, JoinedLoader):
            return JoinedLoader([
                self._features_of(runner, part, own) for own in images.loaders
            ])
        model = unwrap(runner.model)
        if self.trunk not in dict(model.named_modules()):
            raise InputError('StoredFeaturesHook: the model has no trunk '
                             f'{self.trunk!r}.')
        trunk = model.get_submodule(self.trunk)
        if any(p.requires_grad for p in trunk.parameters()):
            raise InputError(
                f'StoredFeaturesHook: {self.trunk} is not frozen, so its '
                'features change. Freeze it by FreezeHook, or take the hook '
                'out.')
        features = store_features(model, trunk, images.dataset, self.root,
                                  self.dtype, images.num_workers,
                                  f'dense features of {part} images')
        cfg = dict(
            runner.cfg[f'{part}_dataloader'],
            dataset=features,
            num_workers=0,
            persistent_workers=False,
            collate_fn=dict(type='default_collate'))
        cfg.pop('prefetch_factor', None)
        return runner.build_dataloader(
            cfg,
            seed=getattr(images.sampler, 'seed', runner.seed),
            diff_rank_seed=runner.cfg.randomness.get('diff_rank_seed', False))
