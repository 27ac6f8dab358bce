"""Joint training: settings and seeds side by side on the same features.

The runs share everything that is frozen, those of a seed also their images, so each gets the result
that it would get alone.
"""

from copy import deepcopy
from itertools import product
from typing import Any, Dict, List, Sequence

from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor

from ..config import set_everywhere
from ..errors import InputError
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .checkpoint_hook import METRIC

LENGTH = ('max_iters', 'val_begin', 'val_interval')
SUPPORTED = dict(  # keys that may be set; others could let one run act on another
    train_cfg=LENGTH, val_cfg=('fp16',), optim_wrapper=('type', 'optimizer', 'accumulative_counts')
)
UNSUPPORTED = (
    'AmpOptimWrapper',
    'BFloat16OptimWrapper',
    'ApexOptimWrapper',
    'ReduceOnPlateau',
    'EarlyStopping',
    'EMAHook',
)


def expand_grid(cfg: Config) -> List[dict]:
    """All settings of a config's ``grid``, a list each of ``lr`` and ``weight_decay``.

    Raises:
        InputError: There is no such grid.
    """
    grid = cfg.get('grid') or {}
    try:
        settings = list(product(grid['lr'], grid['weight_decay']))
    except (KeyError, TypeError):
        settings = []
    if not settings:
        raise InputError(
            'a grid needs grid=dict(lr=[...], weight_decay=[...])'
            f' in the config, and got {dict(grid)}.'
        )
    return [dict(lr=lr, weight_decay=weight_decay) for lr, weight_decay in settings]


def enable_joint_training(cfg: Config, settings: List[dict], seeds: Sequence[int] = ()) -> None:
    """Makes a config train all settings, for each seed, side by side.

    Where transforms draw at random and no worker processes load images, their draws are not those
    of a run of one seed.

    Args:
        cfg (Config): To be changed.
        settings (list[dict]): What differs in the optimizer, for each run of a seed.
        seeds (Sequence[int]): Of few-shot samples and runs; if empty, the config's own.

    Raises:
        InputError: The config has something that joint training does not support.
    """
    validate_joint_training(cfg, seeds)
    seeds = list(seeds)
    saving = cfg.default_hooks.checkpoint
    metric = saving.get('save_best', METRIC)
    length = {key: cfg.train_cfg[key] for key in LENGTH if key in cfg.train_cfg}
    cfg.train_cfg = dict(length, type='safe_mm.JointTrainLoop', settings=settings, seeds=seeds)
    cfg.val_cfg.update(type='safe_mm.JointValLoop', seeds=seeds, metric=metric)
    cfg.optim_wrapper.constructor = 'safe_mm.JointOptimWrapperConstructor'
    cfg.optim_wrapper.paramwise_cfg = dict(settings=settings)
    saving.interval = 0  # the best alone
    saving.save_best = [prefix + metric for prefix in seed_prefixes(seeds)]


def validate_joint_training(cfg: Config, seeds: Sequence[int]) -> None:
    """Raises an InputError that names what joint training does not support."""
    hooks = str([cfg.default_hooks, cfg.get('custom_hooks')])
    components = f'{cfg.optim_wrapper} {cfg.get("param_scheduler")} {hooks}'
    metric = (cfg.default_hooks.get('checkpoint') or {}).get('save_best', METRIC)
    iters = cfg.train_cfg.get('max_iters') or 0
    validates = cfg.get('val_dataloader') and cfg.get('val_cfg') is not None
    refuse(
        {
            'a model that trains nothing by gradient descent': not iters,
            'a run without validation, which chooses what is saved': not validates
            or cfg.train_cfg.get('val_begin', 1) > iters,
            **{
                f'{section}.{key}': value and key not in keys
                for section, keys in SUPPORTED.items()
                for key, value in (cfg.get(section) or {}).items()
            },
            **{name: name in components for name in UNSUPPORTED},
            'a checkpoint hook other than SlimCheckpointHook': 'SlimCheckpointHook' not in hooks,
            f'save_best={metric!r}, which is not the name of one metric': metric == 'auto'
            or not isinstance(metric, str),
            'load_from': cfg.get('load_from'),
            'resume': cfg.get('resume'),
        }
    )
    if seeds:
        loader = cfg.train_dataloader
        sampler = str(loader.get('sampler'))
        preprocessor = cfg.model.get('data_preprocessor') or {}
        refuse(
            {
                f'seeds that repeat, {list(seeds)}': len(set(seeds)) < len(seeds),
                'data without a seed': not set_everywhere(deepcopy(loader), 'seed', 0),
                'randomness.diff_rank_seed': cfg.get('randomness', {}).get('diff_rank_seed'),
                'a sampler other than InfiniteSampler': 'InfiniteSampler' not in sampler,
                'batches whose images are mixed': preprocessor.get('batch_augments')
                or cfg.model.get('train_cfg'),
            }
        )


def refuse(culprits: Dict[str, Any]) -> None:
    """Raises an InputError that names the first of the culprits that applies."""
    for culprit, applies in culprits.items():
        if applies:
            raise InputError(
                f'--grid and --seeds do not support {culprit}. '
                'Remove it, or train the runs separately.'
            )


def seed_prefixes(seeds: Sequence[int]) -> List[str]:
    """What the names of each seed's results start with."""
    return [f'seed{seed}/' for seed in seeds] or ['']


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class JointOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives each run of :class:`safe_mm.models.JointRuns` its setting."""

    def add_params(self, params: List[dict], module: Any) -> None:
        """A group of parameters for each run."""
        settings = self.paramwise_cfg['settings'] * module.runs.num_seeds
        for own, setting in zip(module.runs.copies, settings):
            params.append(dict(setting, params=[p for p in own.parameters() if p.requires_grad]))
