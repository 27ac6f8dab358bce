"""Settings and seeds trained in one pass; of settings validation chooses.

The runs share everything but their pooling layers, those of a seed also its
images, so each gets the result that it would get alone.
"""
from itertools import product
from typing import List, Optional, Sequence

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS


def has_pool_to_train(cfg: Config) -> bool:
    """Whether a config fine-tunes AttnPool_F, which a grid is for."""
    return bool(
        cfg.get('train_cfg') and 'BlendedAttentionPool' in cfg.model.neck.type
        and not cfg.model.head.get('train_keys'))


def settings_of(cfg: Config) -> List[dict]:
    """All settings of a config's ``grid``.

    Args:
        cfg (Config): ``grid`` has ``lr`` and ``weight_decay``, a list each.

    Raises:
        InputError: There is no such grid.
    """
    grid = cfg.get('grid') or {}
    if set(grid) != {'lr', 'weight_decay'} or not all(
            isinstance(v, (list, tuple)) and v for v in grid.values()):
        raise InputError('a grid needs grid=dict(lr=[...], weight_decay=[...])'
                         f' in the config, and got {dict(grid)}.')
    return [
        dict(lr=lr, weight_decay=weight_decay)
        for lr, weight_decay in product(grid.lr, grid.weight_decay)
    ]


def train_together(cfg: Config, settings: List[dict],
                   seeds: Sequence[int] = ()) -> None:
    """Makes a config train all settings, for each seed, in one pass.

    Args:
        cfg (Config): To be changed.
        settings (list[dict]): For each run what is to differ of the
            optimizer's settings.
        seeds (Sequence[int]): Of few-shot samples and runs. Without any, the
            config's own.

    Raises:
        InputError: The config has something that would let one run act on
            another.
    """
    if len(set(seeds)) < len(seeds):
        raise InputError(f'the seeds {list(seeds)} should differ.')
    sampler = str(cfg.train_dataloader.get('sampler'))
    hooks = [str(hook['type']) for hook in cfg.get('custom_hooks') or []]
    for culprit, there in (
            ('optim_wrapper.clip_grad', cfg.optim_wrapper.get('clip_grad')),
            ('optim_wrapper.paramwise_cfg',
             cfg.optim_wrapper.get('paramwise_cfg')),
            ('an early stopping hook', any('EarlyStopping' in h
                                           for h in hooks)),
            ('a cache, which is of one seed, for several seeds',
             seeds and any('CacheHook' in h for h in hooks)),
            ('a sampler other than InfiniteSampler, for several seeds',
             seeds and 'InfiniteSampler' not in sampler),
            ('what trains no AttnPool_F', not has_pool_to_train(cfg)),
            ('resume', cfg.get('resume'))):
        if there:
            raise InputError('runs in one pass do not go with '
                             f'{culprit}: take it out of the config, or train '
                             'one by one.')
    cfg.model.neck.update(runs=len(settings), seeds=max(1, len(seeds)))
    cfg.optim_wrapper.constructor = 'safe_mm.GridOptimWrapperConstructor'
    cfg.optim_wrapper.paramwise_cfg = dict(settings=settings)
    if seeds:
        cfg.train_cfg.pop('by_epoch', None)
        cfg.train_cfg.update(type='safe_mm.SeedsTrainLoop', seeds=list(seeds))
    saving = cfg.default_hooks.checkpoint
    metric = saving.get('save_best', 'accuracy/top1')
    cfg.val_cfg = dict(
        type='safe_mm.GridValLoop', seeds=list(seeds), metric=metric)
    saving.interval = 0  # the best alone
    saving.save_best = [prefix(seed) + metric for seed in seeds or [None]]


def prefix(seed: Optional[int]) -> str:
    """Of the names of a seed's results."""
    return '' if seed is None else f'seed{seed}/'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GridOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives each run of a :class:`safe_mm.models.RunStack` its setting.

    Args:
        optim_wrapper_cfg (dict): mmengine's.
        paramwise_cfg (dict): ``settings``, for each run of a seed a dict of
            what is to differ, such as ``lr``.
    """

    def add_params(self, params: List[dict], module: nn.Module) -> None:
        """A group of parameters for each run."""
        stack = module.neck.attn_pool_f
        for pool, setting in zip(
                stack.pools, self.paramwise_cfg['settings'] * stack.seeds):
            params.append(dict(setting, params=list(pool.parameters())))
