"""Training on features that are computed once."""

from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmpretrain.datasets import BaseDataset

from ..errors import InputError
from ..feature_cache import ROOT, CachedFeatures, cache_features
from ..models import CLIPClassifier
from ..registry import HOOKS
from .joint_loops import JoinedLoader
from .unwrap import unwrap

DTYPES = ('float32', 'float16', 'bfloat16')


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Computes features of training and validation images once.

    Features are those of the model's ``frozen_stage``. Later runs on the same images read them from
    disk. Results and checkpoints are those of a run without this hook, up to the precision of the
    cache. Unless that is bfloat16, the features are computed in float32, also under ``--amp``. A
    model without a frozen stage reads images and writes nothing.

    Args:
        dtype (str): 'float32'; 'float16' for half the space; or 'bfloat16', in which features are
            also computed, in half the time on CPUs with native bfloat16. Defaults to 'float32'.
        root (str): Folder of the caches. Defaults to '~/.cache/safe_mm/features'.
        num_workers (int, optional): Processes that load the images of which features are computed.
            None for those of the dataloader. Defaults to None.

    Raises:
        InputError: The pipeline is random, or the disk is full.
    """

    priority = 'NORMAL'

    def __init__(
        self, dtype: str = 'float32', root: str = ROOT, num_workers: Optional[int] = None
    ) -> None:
        if dtype not in DTYPES:
            raise InputError(
                f'FeatureCacheHook: dtype={dtype!r} must be one of {", ".join(DTYPES)}.'
            )
        self.dtype = getattr(torch, dtype)
        self.root = Path(root).expanduser()
        self.num_workers = num_workers

    def before_train(self, runner) -> None:
        """Puts features in place of images."""
        loop = runner.train_loop
        features = self.features_of(runner, 'train', loop.dataloader)
        if features is not loop.dataloader:  # whose sampler has begun, and cannot begin again
            loop.dataloader = features
            loop.dataloader_iterator = _InfiniteDataloaderIterator(features)
        if runner.val_loop is not None:
            runner.val_loop.dataloader = self.features_of(runner, 'val', runner.val_loop.dataloader)

    def cache(
        self, model: CLIPClassifier, dataset: BaseDataset, num_workers: int, name: str
    ) -> CachedFeatures:
        """A dataset's features of the model's frozen stage."""
        return cache_features(
            model,
            dataset,
            model.frozen_stage,
            self.root,
            self.dtype,
            num_workers if self.num_workers is None else self.num_workers,
            f'features of {name}',
        )

    def features_of(self, runner, part: str, images: Any) -> Any:
        """A loader of features in the place of a loader, or several joined ones, of images."""
        if isinstance(images, JoinedLoader):
            return JoinedLoader([self.features_of(runner, part, own) for own in images.loaders])
        model = unwrap(runner.model)
        if getattr(model, 'frozen_stage', 'image') == 'image':
            runner.logger.info(
                'No features are cached: the whole trunk is trained, or the '
                'model is not a safe_mm.CLIPClassifier.'
            )
            return images
        features = self.cache(model, images.dataset, images.num_workers, f'{part} images')
        cfg = dict(
            runner.cfg[f'{part}_dataloader'],
            dataset=features,
            num_workers=0,
            persistent_workers=False,
            collate_fn=default_collate,
        )
        cfg.pop('prefetch_factor', None)
        return runner.build_dataloader(
            cfg,
            seed=getattr(images.sampler, 'seed', runner.seed),
            diff_rank_seed=runner.cfg.randomness.get('diff_rank_seed', False),
        )
