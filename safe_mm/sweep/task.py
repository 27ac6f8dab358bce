"""A few-shot task of a sweep: what is done, and how it is known again."""
import hashlib
import json
from argparse import Namespace
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from mmengine.config import Config

from ..clip.architecture import base_name, open_clip_name
from ..clip.weights import find_weights
from ..config import find_config, load_config, share
from ..datasets.bases import use_dataset
from ..engine import has_pool_to_train, settings_of, train_together
from ..errors import InputError

PARTS = ('train', 'val', 'test')
# Settings of a data set that say which images and classes, not how they are
# looked at
DATA = ('data_root', 'data_prefix', 'ann_file', 'templates', 'classes',
        'num_classes', 'task', 'variant', 'shots', 'seed')


class Task(NamedTuple):
    """One run of a sweep.

    Attributes:
        config (str): A config file: method and backbone.
        data (str, optional): A data set of ``configs/_base_/datasets`` or a
            task of drawn creatures; None is the config's own.
        shots (int, optional): K; None where nothing is trained.
        seed (int, optional): Of the few-shot sample and of the run.
    """
    config: str
    data: Optional[str] = None
    shots: Optional[int] = None
    seed: Optional[int] = None


def trains(config: str) -> bool:
    """Whether a config file trains, or makes a cache of, anything."""
    return bool(Config.fromfile(find_config(config)).get('train_cfg'))


def task_config(args: Namespace, folder: Path, task: Task) -> Config:
    """The config of one task, of which ``task`` names the data.

    Dense features are stored, unless ``default_hooks.store=None`` is given.

    Args:
        args (Namespace): Common options, and ``grid``, whether to train all
            settings of a grid where a pooling layer is trained.
        folder (Path): Of work dirs.
        task (Task): What is to be done.

    Raises:
        InputError: An option that has no effect here.
    """
    if args.launcher != 'none' or args.amp:
        raise InputError('--launcher and --amp have no effect here: each task '
                         'runs in one process.')
    plain = Config.fromfile(find_config(task.config))
    drawn = 'task' in plain
    options = {  # without those of training where nothing is trained
        option: value for option, value in args.cfg_options.items()
        if '.' not in option or plain.get(option.split('.')[0], {}) is not None
    }
    cfg = load_config(
        Namespace(**{
            **vars(args), 'config': task.config,
            'cfg_options': options,
            'task': task.data if drawn else None,
            'shots': task.shots,
            'seed': task.seed,
            'work_dir': None
        }))
    if cfg.get('load_from'):
        raise InputError('load_from is of one task, not of many.')
    if task.data and not drawn:
        use_dataset(cfg, task.data)
        cfg.merge_from_dict(options)  # they have the last word
    if 'default_hooks.store' not in options:
        cfg.default_hooks.store = {
            'type': 'safe_mm.StoredFeaturesHook',
            **cfg.default_hooks.get('store', {})
        }
    if args.grid and has_pool_to_train(cfg):
        train_together(cfg, settings_of(cfg))
    name, own_data = split_name(task.config, drawn)
    cfg.task = cfg.task if drawn else task.data or own_data
    name_run(cfg, folder / name, task)
    cfg.default_hooks.checkpoint.interval = 0  # the best alone
    cfg.log_level = 'ERROR'
    return cfg


def name_run(cfg: Config, folder: Path, task: Task) -> None:
    """Gives a run a work dir that no other recipe or data has."""
    run = f'{cfg.task}_shots{task.shots}_seed{task.seed}' if (
        task.shots) else cfg.task
    clip = '_'.join(clip_names(cfg))
    run = f'{run}_{recipe(cfg)}_{data_hash(cfg)}'
    cfg.work_dir = str(folder / clip / run)
    cfg.experiment_name = f'{folder.name}_{clip}_{run}'


def split_name(config: str, drawn: bool) -> tuple:
    """'safe_rn50_dtd.py' -> 'safe_rn50', 'dtd'; drawn data has no name."""
    stem = Path(config).stem
    if drawn:
        return stem, None
    name, _, data = stem.rpartition('_')
    return name or data, data


def clip_names(cfg: Config) -> tuple:
    """Architecture and weights; of files, without folder and ending."""
    return (open_clip_name(cfg.clip.model_name),
            Path(str(cfg.clip.pretrained)).stem)


def record_key(cfg: Config, task: Task) -> dict:
    """All that tells one record from another.

    'config' is the name of the config file without that of the data, 'task'
    the data, 'recipe' a hash of all that is the same for all data, shots and
    seeds, and 'data' of what is not.
    """
    return dict(
        config=Path(cfg.work_dir).parents[1].name,
        clip=' '.join(clip_names(cfg)),
        task=cfg.task,
        shots=task.shots or 0,
        seed=task.seed or 0,
        recipe=recipe(cfg),
        data=data_hash(cfg))


def recipe(cfg: Config) -> str:
    """Hash of what makes a method: CLIP's weights, and the config but for
    the data and for what belongs to the machine.
    """
    parts = {
        name: deepcopy(cfg.get(name))
        for name in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
                     'custom_hooks', 'search')
    }
    if parts['optim_wrapper']:
        parts['optim_wrapper'].optimizer.pop('fused', None)
    for part, loader in loaders(cfg).items():
        parts[part] = dict(
            how={name: loader.get(name) for name in ('batch_size', 'sampler')},
            dataset={name: value for name, value in loader.dataset.items()
                     if name not in DATA})
    if 'GridValLoop' in str(cfg.get('val_cfg')):
        parts['of equals'] = 'the least loss'  # before, the first setting
    share(parts, 'clip', cfg.clip.model_name)
    store = cfg.default_hooks.get('store') or {}
    return short_hash([
        parts, weights_hash(cfg.clip.model_name, cfg.clip.pretrained),
        store.get('dtype', 'float32')
    ])


def data_hash(cfg: Config) -> str:
    """Hash of which images there are, but for the folder that holds them."""
    parts = [{name: loader.dataset.get(name) for name in DATA
              if name != 'data_root'} for loader in loaders(cfg).values()]
    return short_hash([parts, cfg.get('variants'), cfg.randomness])


def loaders(cfg: Config) -> Dict[str, Config]:
    """Those that the config has, by part."""
    found = {part: cfg.get(f'{part}_dataloader') for part in PARTS}
    return {part: deepcopy(loader) for part, loader in found.items() if loader}


def short_hash(value: Any) -> str:
    """16 hexadecimal digits of its SHA-256."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=None)
def weights_hash(model_name: str, pretrained: Optional[str]) -> Optional[str]:
    """SHA-256 of the file of CLIP's weights."""
    if pretrained is None:
        return None
    sha = hashlib.sha256()
    with find_weights(base_name(model_name), pretrained).open('rb') as file:
        for block in iter(lambda: file.read(2**20), b''):
            sha.update(block)
    return sha.hexdigest()
