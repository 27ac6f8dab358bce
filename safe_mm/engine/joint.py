"""Joint training: settings and seeds side by side on the same features.

The runs share everything that is frozen, those of a seed also their images, so each gets the result
that it would get alone.
"""

from copy import deepcopy
from itertools import product
from math import inf
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..config import set_everywhere
from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .checkpoint_hook import METRIC

LENGTH = ('max_iters', 'val_begin', 'val_interval')  # of train_cfg


def expand_grid(cfg: Config) -> List[dict]:
    """All settings of a config's ``grid``.

    Args:
        cfg (Config): ``grid`` has ``lr`` and ``weight_decay``, a list each.

    Raises:
        InputError: There is no such grid.
    """
    grid = cfg.get('grid') or {}
    if set(grid) != {'lr', 'weight_decay'} or not all(
        isinstance(v, (list, tuple)) and v for v in grid.values()
    ):
        raise InputError(
            'a grid needs grid=dict(lr=[...], weight_decay=[...])'
            f' in the config, and got {dict(grid)}.'
        )
    return [
        dict(lr=lr, weight_decay=weight_decay)
        for lr, weight_decay in product(grid.lr, grid.weight_decay)
    ]


def enable_joint_training(cfg: Config, settings: List[dict], seeds: Sequence[int] = ()) -> None:
    """Makes a config train all settings, for each seed, side by side.

    Where transforms draw at random and no worker processes load images, their draws are not those
    of a run of one seed.

    Args:
        cfg (Config): To be changed.
        settings (list[dict]): For each run what differs in the optimizer's settings.
        seeds (Sequence[int]): Of few-shot samples and runs. Without any, the config's own.

    Raises:
        InputError: The config has something that is not supported, because it would let one run act
            on another.
    """
    validate_joint_training(cfg)
    if seeds:
        validate_seeds(cfg, seeds)
    length = {key: value for key, value in cfg.train_cfg.items() if key in LENGTH}
    cfg.train_cfg = dict(
        length, type='safe_mm.JointTrainLoop', settings=settings, seeds=list(seeds)
    )
    cfg.optim_wrapper.constructor = 'safe_mm.JointOptimWrapperConstructor'
    cfg.optim_wrapper.paramwise_cfg = dict(settings=settings)
    saving = cfg.default_hooks.checkpoint
    metric = saving.get('save_best', METRIC)
    cfg.val_cfg.update(
        type='safe_mm.JointValLoop', settings=settings, seeds=list(seeds), metric=metric
    )
    saving.interval = 0  # the best alone
    saving.save_best = [prefix(seed) + metric for seed in seeds or [None]]


def validate_joint_training(cfg: Config) -> None:
    """Raises an InputError that names what joint training cannot do."""
    optim, length, hooks = cfg.optim_wrapper, cfg.train_cfg, _hooks(cfg)
    best = (cfg.default_hooks.get('checkpoint') or {}).get('save_best', METRIC)
    _refuse(
        {
            'a model that trains nothing by gradient descent': not length.get('max_iters'),
            'a run without validation, which chooses what is saved': not cfg.get('val_dataloader')
            or cfg.get('val_cfg') is None
            or length.get('val_begin', 1) > length.get('max_iters', inf),
            'a val_cfg.type of your own': (cfg.get('val_cfg') or {}).get('type'),
            'optim_wrapper.constructor': optim.get('constructor'),
            'optim_wrapper.paramwise_cfg': optim.get('paramwise_cfg'),
            'optim_wrapper.clip_grad': optim.get('clip_grad'),
            'mixed precision, whose loss scale all runs would share': optim.get(
                'type', 'OptimWrapper'
            )
            in ('AmpOptimWrapper', 'ApexOptimWrapper'),
            'ReduceOnPlateau': 'ReduceOnPlateau' in str(cfg.get('param_scheduler')),
            'an early stopping hook': 'EarlyStopping' in hooks,
            'EMAHook': 'EMAHook' in hooks,
            'a checkpoint hook other than SlimCheckpointHook': 'SlimCheckpointHook' not in hooks,
            f'save_best={best!r}, which is not the name of one metric': not isinstance(best, str)
            or best == 'auto',
            'load_from': cfg.get('load_from'),
            'resume': cfg.get('resume'),
        }
    )


def validate_seeds(cfg: Config, seeds: Sequence[int]) -> None:
    """Raises an InputError that names what several seeds cannot share."""
    loader = cfg.train_dataloader
    unknown = [key for key, value in cfg.train_cfg.items() if value and key not in LENGTH]
    _refuse(
        {
            f'seeds that repeat, {list(seeds)}': len(set(seeds)) < len(seeds),
            'data without a seed': not set_everywhere(deepcopy(loader), 'seed', 0),
            f'train_cfg.{"".join(unknown[:1])}': unknown,
            'randomness.diff_rank_seed': cfg.get('randomness', {}).get('diff_rank_seed'),
            'a sampler other than InfiniteSampler': 'InfiniteSampler'
            not in str(loader.get('sampler')),
            'batches whose images are mixed': (cfg.model.get('data_preprocessor') or {}).get(
                'batch_augments'
            )
            or cfg.model.get('train_cfg'),
        }
    )


def _hooks(cfg: Config) -> str:
    """Names of all hooks, as one text."""
    hooks = [*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])]
    return ' '.join(str(hook['type']) for hook in hooks if hook)


def _refuse(culprits: Dict[str, Any]) -> None:
    for culprit, there in culprits.items():
        if there:
            raise InputError(
                f'--grid and --seeds do not support {culprit}. '
                'Remove it, or train the runs separately.'
            )


def prefix(seed: Optional[int]) -> str:
    """Of the names of a seed's results."""
    return '' if seed is None else f'seed{seed}/'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class JointOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives each run of :class:`safe_mm.models.JointRuns` its setting.

    Args:
        optim_wrapper_cfg (dict): mmengine's.
        paramwise_cfg (dict): ``settings``, for each run of a seed a dict of what differs, such as
            ``lr``.
    """

    def add_params(self, params: List[dict], module: nn.Module) -> None:
        """A group of parameters for each run."""
        settings = self.paramwise_cfg['settings'] * module.runs.num_seeds
        for own, setting in zip(module.runs.copies, settings):
            trained = [p for p in own.parameters() if p.requires_grad]
            params.append(dict(setting, params=trained))
