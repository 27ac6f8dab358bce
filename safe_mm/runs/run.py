"""A run of a sweep: its config, its folder, and what identifies it."""

import hashlib
import json
from argparse import Namespace
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config

from ..clip.architecture import base_name, open_clip_name
from ..clip.weights import find_weights
from ..config import LOADERS, find_config, load_config
from ..datasets.lists import IMAGENET_SPLIT, has_imagenet_split
from ..engine import enable_joint_training, expand_grid
from ..errors import InputError
from ..validate import dicts_of

# Settings that make a method
METHOD = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'search')
# Of a dataset's settings, those of the few-shot sample
SAMPLE = ('shots', 'seed')


class Run(NamedTuple):
    """One run of a sweep.

    Attributes:
        config (str): A config file, which is a method.
        dataset (str, optional): As for ``--dataset``.
        clip (str, optional): As for ``--clip``.
        shots (int, optional): K; None where nothing is trained.
        seed (int, optional): Of the few-shot sample and of the run.
    """

    config: str
    dataset: Optional[str] = None
    clip: Optional[str] = None
    shots: Optional[int] = None
    seed: Optional[int] = None

    @property
    def features(self) -> tuple:
        """Runs with the same ones share the features of test images."""
        return self.dataset, self.clip


def expand_runs(args: Namespace) -> List[Run]:
    """The product of the options; zero-shot has neither shots nor seed."""
    samples = [(k, seed) for k in args.shots for seed in args.seeds]
    return [
        Run(config, dataset, clip, *sample)
        for config in args.config
        for dataset in args.datasets
        for clip in args.clips
        for sample in (samples if trains(config) else [(None, None)])
    ]


def trains(config: str) -> bool:
    """Whether a config file trains or fits anything."""
    return bool(Config.fromfile(find_config(config)).get('train_cfg'))


def run_config(args: Namespace, run: Run) -> Config:
    """The config of a run, with its work dir.

    Features are cached unless ``default_hooks.feature_cache=None`` is given. With ``--grid``, all
    settings of a grid are trained where something is trained.

    Raises:
        InputError: An option is wrong, or not supported in a sweep.
    """
    if args.launcher != 'none' or args.amp:
        raise InputError('--launcher and --amp are not supported here: each run is one process.')
    file = Config.fromfile(find_config(run.config))
    options = {  # without those of training where nothing is trained
        option: value
        for option, value in args.cfg_options.items()
        if '.' not in option or file.get(option.split('.')[0], {}) is not None
    }
    own = dict(run._asdict(), work_dir=None, seeds=[], cfg_options=options)
    cfg = load_config(Namespace(**{**vars(args), **own}))
    if cfg.get('load_from'):
        raise InputError('load_from is not supported in a sweep.')
    if 'default_hooks.feature_cache' not in options:
        cfg.default_hooks.feature_cache = {
            'type': 'safe_mm.FeatureCacheHook',
            'num_workers': cfg.get('test_dataloader', {}).get('num_workers', 0),
            **cfg.default_hooks.get('feature_cache', {}),
        }
    if args.grid and cfg.get('grid') and cfg.train_cfg.get('max_iters'):
        enable_joint_training(cfg, expand_grid(cfg))
    key = run_key(cfg, run)
    sample = f'_shots{run.shots}_seed{run.seed}' if run.shots else ''
    name = f'{key["dataset"]}{sample}_{short_hash(key)[:8]}'
    folder = Path(args.work_dir, key['method'], key['clip'].replace(':', '_'), name)
    cfg.work_dir = str(folder)
    cfg.experiment_name = str(folder)[-100:].replace('/', '_')
    cfg.default_hooks.checkpoint.interval = 0  # the best alone
    cfg.log_level = 'ERROR'
    return cfg


def run_key(cfg: Config, run: Run) -> Dict[str, Any]:
    """What identifies a result.

    'method' is the name of the config file; 'method_hash' is the same for all datasets, shots and
    seeds, which 'data_hash' distinguishes.
    """
    return dict(
        method=Path(run.config).stem,
        clip=clip_name(cfg.model.clip),
        dataset=cfg.get('dataset_name', 'custom'),
        shots=run.shots or 0,
        seed=run.seed or 0,
        method_hash=method_hash(cfg),
        data_hash=data_hash(cfg),
    )


def clip_name(clip: dict) -> str:
    """``ARCHITECTURE:WEIGHTS``; of files, without folder and suffix."""
    weights = clip.get('pretrained')
    return f'{open_clip_name(clip["model_name"])}:{Path(str(weights)).stem}'


def method_hash(cfg: Config) -> str:
    """Hash of CLIP's weights and of the config, without data and settings of the machine."""
    parts = {name: deepcopy(cfg.get(name)) for name in METHOD}
    for name in ('clip', 'classes', 'templates'):
        parts['model'].pop(name, None)
    for _, own in dicts_of(parts['model']):
        if 'shots' in own and own['shots'] == cfg.get('shots'):
            own['shots'] = 'K'  # of the sample; another number is a setting
    if parts['optim_wrapper']:
        parts['optim_wrapper'].optimizer.pop('fused', None)
    for name, loader in datasets(cfg).items():
        parts[name] = dict(
            how={n: cfg[name].get(n) for n in ('batch_size', 'sampler')},
            views={n: value for n, value in loader.items() if n not in (*SAMPLE, *cfg.dataset)},
        )
    cache = cfg.default_hooks.get('feature_cache') or {}
    return short_hash(
        [
            parts,
            open_clip_name(cfg.model.clip.model_name),
            weights_hash(cfg.model.clip.model_name, cfg.model.clip.pretrained),
            cache.get('dtype', 'float32'),
        ]
    )


def data_hash(cfg: Config) -> str:
    """Hash of the images of all datasets, whatever folder holds them.

    A dataset with an empty ``data_prefix`` is known by its folder alone. An option that is False
    leaves the hash as it was before there was such an option.
    """
    own = [
        {
            name: dataset.get(name)
            for name in (*SAMPLE, *cfg.dataset)
            if name != 'data_root' and dataset.get(name) is not False
        }
        for dataset in datasets(cfg).values()
    ]
    ann_file = Path(cfg.dataset.get('data_root', ''), cfg.dataset.get('ann_file', ''))
    variants = deepcopy(cfg.get('variants'))
    for changes in (variants or {}).values():
        changes.pop('data_root', None)
    more = [IMAGENET_SPLIT] if has_imagenet_split(ann_file) else []
    if cfg.dataset.get('data_prefix') == '':
        more.append(str(Path(cfg.dataset.data_root).expanduser().resolve()))
    return short_hash([own, variants, cfg.randomness, *more])


def datasets(cfg: Config) -> Dict[str, dict]:
    """The configs of the datasets by the name of their loader."""
    return {name: cfg[name].dataset for name in LOADERS if cfg.get(name)}


def short_hash(value: Any) -> str:
    """16 hexadecimal digits of its SHA-256."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def weights_hash(model_name: str, pretrained: Optional[str]) -> Optional[str]:
    """SHA-256 of the file of CLIP's weights."""
    if pretrained is None:
        return None
    sha = hashlib.sha256()
    with find_weights(base_name(model_name), pretrained).open('rb') as file:
        for block in iter(lambda: file.read(2**20), b''):
            sha.update(block)
    return sha.hexdigest()
