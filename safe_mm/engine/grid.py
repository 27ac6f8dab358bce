"""Settings and seeds trained in one pass; of settings validation chooses.

The runs share everything but their pooling layers, those of a seed also its
images, so each gets the result that it would get alone.
"""
from copy import deepcopy
from itertools import product
from math import inf
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..config import share
from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .checkpoint_hook import METRIC

LENGTH = ('max_iters', 'val_begin', 'val_interval')  # of train_cfg


def has_pool_to_train(cfg: Config) -> bool:
    """Whether a config fine-tunes AttnPool_F, which a grid is for."""
    neck, head = (cfg.model.get(part) or {} for part in ('neck', 'head'))
    return bool(
        cfg.get('train_cfg')
        and 'BlendedAttentionPool' in neck.get('type', '')
        and not head.get('train_keys'))


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

    Where transforms draw at random and no worker processes load images, their
    draws are not those of a run of one seed.

    Args:
        cfg (Config): To be changed.
        settings (list[dict]): For each run what is to differ of the
            optimizer's settings.
        seeds (Sequence[int]): Of few-shot samples and runs. Without any, the
            config's own.

    Raises:
        InputError: The config has something that would let one run act on
            another, or nothing that a seed changes.
    """
    refuse_what_runs_would_share(cfg)
    if seeds:
        refuse_what_seeds_would_share(cfg, seeds)
        cfg.model.neck.num_seeds = len(seeds)
        length = {key: value for key, value in cfg.train_cfg.items()
                  if key in LENGTH}
        cfg.train_cfg = dict(
            length, type='safe_mm.SeedsTrainLoop', seeds=list(seeds))
    cfg.model.neck.runs = len(settings)
    cfg.optim_wrapper.constructor = 'safe_mm.GridOptimWrapperConstructor'
    cfg.optim_wrapper.paramwise_cfg = dict(settings=settings)
    saving = cfg.default_hooks.checkpoint
    metric = saving.get('save_best', METRIC)
    cfg.val_cfg.update(
        type='safe_mm.GridValLoop', seeds=list(seeds), metric=metric)
    saving.interval = 0  # the best alone
    saving.save_best = [prefix(seed) + metric for seed in seeds or [None]]


def refuse_what_runs_would_share(cfg: Config) -> None:
    """Raises an InputError that names it, or what the runs lack."""
    _refuse({'a config without AttnPool_F to train':
             not has_pool_to_train(cfg)})
    optim, length, hooks = cfg.optim_wrapper, cfg.train_cfg, _hooks(cfg)
    trained = [name for hook in cfg.get('custom_hooks') or []
               for name in hook.get('trainable', [])
               if not name.startswith('neck.attn_pool_f')]
    best = (cfg.default_hooks.get('checkpoint') or {}).get('save_best', METRIC)
    _refuse({
        'epochs in place of train_cfg.max_iters': 'max_iters' not in length,
        'a run without validation, which chooses what is saved':
        not cfg.get('val_dataloader') or cfg.get('val_cfg') is None
        or length.get('val_begin', 1) > length.get('max_iters', inf),
        'a val_cfg.type of your own': (cfg.get('val_cfg') or {}).get('type'),
        'optim_wrapper.constructor': optim.get('constructor'),
        'optim_wrapper.paramwise_cfg': optim.get('paramwise_cfg'),
        'optim_wrapper.clip_grad': optim.get('clip_grad'),
        'mixed precision, whose loss scale they would share':
        optim.get('type', 'OptimWrapper') in ('AmpOptimWrapper',
                                              'ApexOptimWrapper'),
        'ReduceOnPlateau':
        'ReduceOnPlateau' in str(cfg.get('param_scheduler')),
        'a trunk that is not frozen by FreezeHook': 'FreezeHook' not in hooks,
        f'training more than AttnPool_F ({", ".join(trained)})': trained,
        'an early stopping hook': 'EarlyStopping' in hooks,
        'EMAHook': 'EMAHook' in hooks,
        'a checkpoint hook other than SlimCheckpointHook':
        'SlimCheckpointHook' not in hooks,
        f'save_best={best!r}, which is not the name of one metric':
        not isinstance(best, str) or best == 'auto',
        'load_from': cfg.get('load_from'),
        'resume': cfg.get('resume'),
    })


def refuse_what_seeds_would_share(cfg: Config, seeds: Sequence[int]) -> None:
    """Raises an InputError that names it."""
    loader = cfg.train_dataloader
    unknown = [key for key, value in cfg.train_cfg.items()
               if value and key not in LENGTH]
    _refuse({
        f'the seeds {list(seeds)}, two of which are the same':
        len(set(seeds)) < len(seeds),
        'data without a seed': not share(deepcopy(loader), 'seed', 0),
        'a cache, which is of one seed': 'CacheHook' in _hooks(cfg),
        f'train_cfg.{"".join(unknown[:1])}': unknown,
        'randomness.diff_rank_seed':
        cfg.get('randomness', {}).get('diff_rank_seed'),
        'a sampler other than InfiniteSampler':
        'InfiniteSampler' not in str(loader.get('sampler')),
        'batches whose images are mixed':
        cfg.model.data_preprocessor.get('batch_augments')
        or cfg.model.get('train_cfg'),
    }, 'several seeds')


def _hooks(cfg: Config) -> str:
    """Names of all hooks, as one text."""
    hooks = [*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])]
    return ' '.join(str(hook['type']) for hook in hooks if hook)


def _refuse(culprits: Dict[str, Any], runs: str = 'several runs') -> None:
    for culprit, there in culprits.items():
        if there:
            raise InputError(f'{runs} in one pass do not go with {culprit}. '
                             'Change that, or train one by one.')


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
                stack.pools, self.paramwise_cfg['settings'] * stack.num_seeds):
            params.append(dict(setting, params=list(pool.parameters())))
