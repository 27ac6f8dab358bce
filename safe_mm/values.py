"""Types and ranges of the settings of a config, checked before anything is loaded."""

import inspect
import math
import typing
from collections import abc
from fnmatch import fnmatch
from functools import cache
from typing import Any, Callable, Dict, Tuple

from .errors import InputError

LARGEST_SEED = 2**32 - 1  # that NumPy takes
INF = float('inf')
WHOLE = (int,)
NUMBER = (int, float)
# Pattern of a setting's path -> its type, least and largest value. A list has such values.
RANGES: Dict[str, Tuple[tuple, float, float]] = {
    '*seed': (WHOLE, 0, LARGEST_SEED),
    '--seeds': (WHOLE, 0, LARGEST_SEED),
    '*shots': (WHOLE, 1, INF),
    '*views': (WHOLE, 1, INF),
    '*optimizer.lr': (NUMBER, 0, INF),
    '*optimizer.weight_decay': (NUMBER, 0, INF),
    '*optimizer.momentum': (NUMBER, 0, 1),
    'grid.*': (NUMBER, 0, INF),
    '*dataloader.batch_size': (WHOLE, 1, INF),
    '*dataloader.num_workers': (WHOLE, 0, INF),
    'train_cfg.max_iters': (WHOLE, 0, INF),
    'train_cfg.max_epochs': (WHOLE, 0, INF),
    'train_cfg.val_interval': (WHOLE, 1, INF),
    'train_cfg.val_begin': (WHOLE, 1, INF),
    'default_hooks.*.interval': (WHOLE, -1, INF),
    'default_hooks.logger.interval': (WHOLE, 1, INF),
    'param_scheduler.*.begin': (WHOLE, 0, INF),
    'auto_scale_lr.base_batch_size': (WHOLE, 1, INF),
    'search.*': (NUMBER, -INF, INF),
}
CHOICES = {
    'default_scope': ('mmpretrain',),
    'log_level': ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'),
    'launcher': ('none', 'pytorch', 'slurm', 'mpi'),
}
# What mmengine's Runner takes all together or not at all
TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)
# Settings at the top of a config that are dicts, and those that are dicts or lists of them
DICTS = {name for names in TOGETHER for name in names if not name.endswith('evaluator')} | {
    *('model', 'default_hooks', 'data_preprocessor', 'env_cfg', 'randomness', 'grid', 'search'),
    *('auto_scale_lr', 'log_processor', 'visualizer', 'variants', 'new_classes', 'dataset'),
}
NEEDED = ('model', 'default_hooks')  # never None
TEXTS = ('dataset_name', 'work_dir', 'load_from')
LISTS = {'custom_hooks', 'param_scheduler', 'val_evaluator', 'test_evaluator'}
NAMES = {int: 'a whole number', float: 'a number', str: 'text', bool: 'True or False'}


def check_top_level(cfg: dict) -> None:
    """Checks which settings a config has, and whether they are dicts, before any is looked into.

    Raises:
        InputError: Names the setting and what it should be.
    """
    for name, value in cfg.items():
        single = name in DICTS
        own = value if isinstance(value, (list, tuple)) and not single else [value]
        if (single or name in LISTS) and not all(isinstance(v, (dict, type(None))) for v in own):
            raise InputError(f'{name}={value!r} should be a dict{"" if single else " or a list"}.')
        if name in NEEDED and value is None:
            raise InputError(f'{name}=None should be a dict.')
        if name in TEXTS and not isinstance(value, (str, type(None))):
            raise InputError(f'{name}={value!r} should be text.')
        if name in CHOICES and value not in CHOICES[name]:
            raise InputError(f'{name}={value!r} should be one of {", ".join(CHOICES[name])}.')
    wrapper = cfg.get('optim_wrapper')
    if wrapper is not None and not isinstance(wrapper.get('optimizer'), dict):
        raise InputError(f'optim_wrapper.optimizer={wrapper.get("optimizer")!r} should be a dict.')
    for names in TOGETHER:
        for key in ('dataset', 'sampler', 'collate_fn'):
            value = (cfg.get(names[0]) or {}).get(key)
            if not isinstance(value, (dict, type(None))):
                raise InputError(f'{names[0]}.{key}={value!r} should be a dict.')
        missing = [name for name in names if cfg.get(name) is None]
        if missing and len(missing) < len(names):
            raise InputError(
                f'{missing[0]} is None or missing, and others of {", ".join(names)} are given. '
                'Give all or none.'
            )


def check_ranges(path: str, value: Any) -> None:
    """Checks a setting that :data:`RANGES` knows.

    Raises:
        InputError: Names the setting, its value and what it should be.
    """
    known = [limits for pattern, limits in RANGES.items() if fnmatch(path, pattern)]
    if not known or value is None or isinstance(value, dict):
        return
    kind, least, largest = known[-1]
    values = value if isinstance(value, (list, tuple)) else [value]
    fits = all(
        isinstance(v, kind)
        and not isinstance(v, bool)
        and least <= v <= largest
        and math.isfinite(v)
        for v in values
    )
    if not fits:
        least_text = '' if least == -INF else f' of at least {least}'
        largest_text = '' if largest == INF else f' and at most {largest}'
        raise InputError(f'{path}={value!r} should be {NAMES[kind[-1]]}{least_text}{largest_text}.')


def check_schedule(scheduler: Any) -> None:
    """Raises an InputError if a part of a learning rate schedule ends before it begins."""
    parts = scheduler if isinstance(scheduler, (list, tuple)) else [scheduler]
    for number, part in enumerate(part for part in parts if isinstance(part, dict)):
        begin, end = part.get('begin', 0), part.get('end', INF)
        if not isinstance(begin, NUMBER) or not isinstance(end, NUMBER) or end <= begin:
            raise InputError(
                f'param_scheduler.{number}.end={end!r} should be above its begin, {begin!r}. '
                'A shorter run needs shorter parts, or param_scheduler=None.'
            )


def check_types(path: str, node: dict, kind: Callable) -> None:
    """Checks values against the annotations of the class or function that takes them.

    Raises:
        InputError: Names the setting, its value and the expected type.
    """
    annotations = annotations_of(kind)
    for key, value in node.items():
        expected = annotations.get(key)
        if expected is not None and not fits(value, expected):
            raise InputError(f'{path}.{key}={value!r} should be {describe(expected)}.')


@cache
def annotations_of(kind: Callable) -> Dict[str, Any]:
    """Parameters with an annotation; of a class, those of its bases first."""
    steps = [kind]
    if inspect.isclass(kind):
        steps = [
            vars(base)['__init__'] for base in kind.__mro__[-2::-1] if '__init__' in vars(base)
        ]
    found: Dict[str, Any] = {}
    for step in steps:
        try:
            found.update(typing.get_type_hints(step))
        except (NameError, TypeError):  # of names that its module imports for checkers only
            continue
    return found


def fits(value: Any, expected: Any) -> bool:
    """Whether a value can be of a type. What is not known to be wrong fits."""
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if isinstance(value, dict) or callable(value):
        return True  # built into something else
    if origin is abc.Callable:
        return isinstance(value, str)  # by name
    if origin is typing.Union:
        return any(fits(value, part) for part in parts)
    if expected is float:
        return isinstance(value, NUMBER) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected in (str, bool, type(None)):
        return isinstance(value, expected)
    if origin in (list, tuple, abc.Sequence):
        inner = parts[0] if parts and origin is not tuple else None
        return isinstance(value, (list, tuple)) and all(
            inner is None or fits(item, inner) for item in value
        )
    return origin not in (dict, abc.Mapping) and expected is not dict


def describe(expected: Any) -> str:
    """A type in words."""
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Union:
        return ' or '.join(dict.fromkeys(map(describe, parts)))
    if origin in (list, tuple, abc.Sequence):
        return 'a list'
    if origin in (dict, abc.Mapping, abc.Callable) or expected is dict:
        return 'a dict'
    return (
        'None'
        if expected is type(None)
        else NAMES.get(expected, getattr(expected, '__name__', str(expected)))
    )
