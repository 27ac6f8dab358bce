"""Training on features that are computed once."""

from pathlib import Path
from typing import Union

import torch
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from ..errors import InputError
from ..feature_cache import ROOT, cache_features, collate
from ..registry import HOOKS
from .joined_loader import JoinedLoader
from .unwrap import unwrap

DTYPES = ('float32', 'float16', 'bfloat16')


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Computes features of training and validation images once.

    Features are those of the model's ``frozen_stage``: dense ones where a pooling layer is trained,
    pooled ones where only what follows it is. Later runs on the same images read them from disk.
    Order of the images, results and checkpoints are those of a run without this hook, up to the
    precision of the cache. Unless that is bfloat16, the features are computed in float32, also
    under ``--amp``. A model without a frozen stage reads images and writes nothing.

    Args:
        dtype (str): 'float32'; 'float16' for half the space; or 'bfloat16', in which features are
            computed, too: half the time on CPUs with native bfloat16. Defaults to 'float32'.
        root (str): Folder of the caches. Defaults to '~/.cache/safe_mm/features'.

    Raises:
        InputError: The pipeline is random, or the disk is full.
    """

    priority = 'NORMAL'

    def __init__(self, dtype: str = 'float32', root: str = ROOT) -> None:
        if dtype not in DTYPES:
            raise InputError(
                f'FeatureCacheHook: dtype={dtype!r} must be one of {", ".join(DTYPES)}.'
            )
        self.dtype = getattr(torch, dtype)
        self.root = Path(root).expanduser()

    def before_train(self, runner) -> None:
        """Puts features in place of images."""
        loop = runner.train_loop
        loop.dataloader = self.features_of(runner, 'train', loop.dataloader)
        loop.dataloader_iterator = _InfiniteDataloaderIterator(loop.dataloader)
        if runner.val_loop is not None:
            runner.val_loop.dataloader = self.features_of(runner, 'val', runner.val_loop.dataloader)

    def features_of(
        self, runner, part: str, images: Union[DataLoader, JoinedLoader]
    ) -> Union[DataLoader, JoinedLoader]:
        """A loader of features like a loader of images."""
        if isinstance(images, JoinedLoader):
            return JoinedLoader([self.features_of(runner, part, own) for own in images.loaders])
        model = unwrap(runner.model)
        stage = getattr(model, 'frozen_stage', 'image')
        if stage == 'image':
            runner.logger.info(
                'No features are cached: the whole trunk is trained, or the '
                'model is not a safe_mm.CLIPClassifier.'
            )
            return images
        features = cache_features(
            model,
            images.dataset,
            stage,
            self.root,
            self.dtype,
            images.num_workers,
            f'features of {part} images',
        )
        cfg = dict(
            runner.cfg[f'{part}_dataloader'],
            dataset=features,
            num_workers=0,
            persistent_workers=False,
            collate_fn=collate,
        )
        cfg.pop('prefetch_factor', None)
        return runner.build_dataloader(
            cfg,
            seed=getattr(images.sampler, 'seed', runner.seed),
            diff_rank_seed=runner.cfg.randomness.get('diff_rank_seed', False),
        )
